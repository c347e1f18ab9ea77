"""Calls on their way to a decoding process. It cannot open files, so it gets those on the disk as open descriptors.

So a file never passes through the memory of the process that asks.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
from multiprocessing.connection import Connection
from typing import Any, Self

from deployments.wire.encoded_file import DiskFile

# The kernel passes no more with one message.
MOST_FILES = 253


class PackedCall:
    """A call that can be sent; close it, or use it in a `with` statement.

    Args:
        call: what is pickled, files on the disk aside.

    Raises:
        ValueError: a file has been closed, because its request ended, or there are too many.
        OSError: this process may open no more files.
    """

    def __init__(self, call: Any) -> None:
        pickler = _Pickler(buffer := io.BytesIO())
        pickler.dump(call)
        self._pickled = buffer.getbuffer()
        self._descriptors: list[int] = []
        try:
            for file in pickler.files:
                self._descriptors.append(file.descriptor())
        except BaseException:
            self.close()
            raise

    def send(self, channel: socket.socket, connection: Connection) -> None:
        """Send it through a socket, and through the same as a connection for messages.

        Raises:
            OSError: nobody is there to receive it.
        """
        connection.send_bytes(len(self._descriptors).to_bytes(2, "big"))
        if self._descriptors:
            socket.send_fds(channel, [b"\0"], self._descriptors)
        connection.send_bytes(self._pickled)

    def close(self) -> None:
        """Close its descriptors; those that were sent stay open where they have arrived."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def receive_call(channel: socket.socket, connection: Connection) -> Any:
    """Receive a call, in which the files' bytes take the place of files.

    Raises:
        EOFError: there is none any more.
        MemoryError: a file is larger than the process may hold.
    """
    count = int.from_bytes(connection.recv_bytes(), "big")
    descriptors = list(socket.recv_fds(channel, 1, count)[1]) if count else []
    try:
        unpickler = _Unpickler(io.BytesIO(connection.recv_bytes()), descriptors)
        return unpickler.load()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


class _Pickler(pickle.Pickler):
    """Leaves files on the disk out.

    Attributes:
        files: those, in the order of their numbers.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.files: list[DiskFile] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, DiskFile):
            return None
        if len(self.files) >= MOST_FILES:
            raise ValueError(f"a call has more than {MOST_FILES} files")
        self.files.append(value)
        return len(self.files) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, descriptors: list[int]) -> None:
        super().__init__(file)
        self._descriptors = descriptors

    def persistent_load(self, number: Any) -> bytes:
        with open(self._descriptors[number], "rb", buffering=0, closefd=False) as file:
            return file.read()
