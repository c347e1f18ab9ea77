"""One decoding process as its caller sees it: started, asked, and killed if it does not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError, TooManyPixels
from deployments.decoding import packing
from deployments.decoding.packing import Packed
from deployments.settings import DecodingSettings

START_S = 60.0
POLL_S = 0.2
# The process has timed itself long before; this is for one that waits instead of working.
WALL_S = 120.0
# Nothing of the caller's environment, which may hold credentials. One arena, because each reserves address space.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class NotStarted(RuntimeError):
    """A decoding process could not be started; its own words are in the log."""


class Worker:
    """A decoding process.

    Raises:
        NotStarted: it ended, or was not ready in time.
    """

    def __init__(self, settings: DecodingSettings) -> None:
        self._settings = settings
        self._output = os.memfd_create("decoded")
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        told = {
            "socket": theirs.fileno(),
            "output": self._output,
            "memory_bytes": settings.memory_bytes,
            "output_bytes": settings.memory_bytes,
            "seconds": settings.seconds,
            "confined": settings.confined,
        }
        command = [sys.executable, "-m", "deployments.decoding.process", json.dumps(told)]
        environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._output),
                env=environment,
                cwd="/",
            )
        try:
            if not self._connection.poll(START_S):
                raise NotStarted(f"a decoding process was not ready within {START_S:g} s")
            self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            self.stop()
            raise NotStarted(
                "a decoding process ended while it started; if the kernel refuses to confine it, the setting "
                "decoding.confined: false lets it run without a filter of system calls"
            ) from error
        except BaseException:
            self.stop()
            raise

    @property
    def usable(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, operation: str, arguments: tuple[Any, ...], wanted: Callable[[], bool]) -> Packed:
        """What an operation makes of its arguments. Afterwards it may no longer be `usable`.

        Raises:
            MediaError: the file cannot be decoded, or not within the bounds, or nobody wants it any more.
            RequestError: a field is wrong.
        """
        try:
            self._connection.send((operation, arguments))
            answer = self._received(wanted)
            found = json.loads(answer)
            if "refused" not in found:
                return packing.read(answer, self._output, self._settings.memory_bytes)
        except (EOFError, OSError):
            raise MediaError(self._obituary()) from None
        except (ValueError, LookupError, TypeError) as error:
            # Whatever took the process over does not write results.
            self.stop()
            raise MediaError("cannot be decoded") from error
        raise _refusal(found["refused"])

    def _received(self, wanted: Callable[[], bool]) -> bytes:
        end = time.monotonic() + WALL_S
        while not self._connection.poll(POLL_S):
            if not wanted() or time.monotonic() > end:
                self._process.kill()
        return self._connection.recv_bytes(packing.MAX_HEADER_BYTES)

    def _obituary(self) -> str:
        """Why the process died, for the sender of the file."""
        self._process.kill()
        if self._process.wait() == -signal.SIGPROF:
            return "takes too long to decode; use a smaller or simpler file"
        return "takes more than decoding may use, or is damaged; use a smaller or another file"

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        os.close(self._output)


def _refusal(refused: dict[str, Any]) -> MediaError | RequestError:
    if "field" in refused:
        return RequestError(str(refused["field"]), str(refused["reason"]))
    return (TooManyPixels if refused["size"] else MediaError)(str(refused["reason"]))
