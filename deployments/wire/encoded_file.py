"""An encoded medium: its bytes, or a file on this machine's disk that holds them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 2**20


class DiskFile:
    """A file that is written once, then read, and has no name: nothing is left of it when it is closed.

    Threads may use it side by side, and may find it closed.

    Args:
        folder: the folder of the disk that holds it; None is the machine's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        """Whether another file, in memory or on the disk, has the same bytes; in a thread, because it may read both.

        Raises:
            ValueError: one is closed.
        """
        if self is other:
            return True
        if not isinstance(other, (bytes, DiskFile)):
            return NotImplemented
        if len(self) != len(other):
            return False
        starts = range(0, len(self), CHUNK_BYTES)
        return all(self.read(CHUNK_BYTES, start) == _read(other, CHUNK_BYTES, start) for start in starts)

    # Its bytes may come after it has been put into a set.
    __hash__ = None  # type: ignore[assignment]

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes.

        Raises:
            OSError: the disk is full or broken.
            ValueError: it is closed.
        """
        rest = memoryview(content)
        with self._lock:
            while rest:
                written = self._file.write(rest)
                self._size += written
                rest = rest[written:]

    def read(self, count: int, start: int = 0) -> bytes:
        """Some bytes, fewer at its end.

        Raises:
            ValueError: it is closed.
        """
        # Under the lock, because the number of a closed file may already be that of another one.
        with self._lock:
            return os.pread(self._file.fileno(), count, start)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, in pieces of bounded size.

        Raises:
            ValueError: it is closed.
        """
        for start in range(0, self._size, CHUNK_BYTES):
            yield self.read(CHUNK_BYTES, start)

    def descriptor(self) -> int:
        """A descriptor that only reads, for another process; the caller closes it.

        Raises:
            ValueError: it is closed.
        """
        with self._lock:
            return os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Remove it; does nothing the second time."""
        with self._lock:
            self._file.close()


EncodedFile = bytes | DiskFile
"""An encoded medium. Both forms have a length."""


def first_bytes(file: EncodedFile, count: int) -> bytes:
    """The first bytes of a file."""
    return _read(file, count, 0)


def _read(file: EncodedFile, count: int, start: int) -> bytes:
    return file.read(count, start) if isinstance(file, DiskFile) else file[start : start + count]


def chunks_of(file: EncodedFile) -> Iterator[bytes]:
    """All bytes of a file, in one or several pieces."""
    return file.chunks() if isinstance(file, DiskFile) else iter((file,))


def digest_of(file: EncodedFile) -> str:
    """SHA-256 in hexadecimal; in a thread, because it takes a second per gigabyte or more."""
    digest = hashlib.sha256()
    for chunk in chunks_of(file):
        digest.update(chunk)
    return digest.hexdigest()
