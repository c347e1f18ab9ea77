"""One decoding process as its caller sees it: started, asked, and killed if it does not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError, TooManyPixels
from deployments.decoding import packing
from deployments.decoding.calls import PackedCall
from deployments.decoding.confinement import TIMED_OUT
from deployments.decoding.packing import Packed
from deployments.settings.decoding import DecodingSettings

T = TypeVar("T")
START_S = 60.0
POLL_S = 0.2
# The process ends by itself before that; this is for one that no longer does.
WALL_S = 300
MARGIN_S = 10
# It holds what one client sent until it ends, so it does not live for long.
MOST_CALLS = 64
# Nothing of the caller's environment, which may hold credentials. Few arenas, because each reserves address space.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
TOO_LONG = "takes too long to decode; use a smaller or simpler file"
TOO_MUCH = "takes more than decoding may use, or is damaged; use a smaller or another file"


class NotStarted(RuntimeError):
    """A decoding process could not be started, or not be asked; its own words are in the log."""


class Worker:
    """A decoding process.

    Raises:
        NotStarted: it ended, or was not ready in time.
    """

    def __init__(self, settings: DecodingSettings) -> None:
        self._settings = settings
        self._calls = 0
        self._trusted = True
        self._stopped = False
        try:
            self._start(settings)
        except OSError as error:
            raise NotStarted(f"a decoding process cannot be started: {error}") from error
        try:
            if not self._connection.poll(START_S):
                raise NotStarted(f"a decoding process was not ready within {START_S:g} s")
            self._connection.recv_bytes(packing.MAX_HEADER_BYTES)
        except (EOFError, OSError) as error:
            self.stop()
            raise NotStarted(
                "a decoding process ended while it started; if the kernel refuses to confine it, the setting "
                "decoding.confined: false lets it run without a filter of system calls"
            ) from error
        except BaseException:
            self.stop()
            raise

    def _start(self, settings: DecodingSettings) -> None:
        with ExitStack() as opened:
            self._output = os.memfd_create("decoded")
            opened.callback(os.close, self._output)
            self._socket, theirs = socket.socketpair()
            opened.enter_context(self._socket)
            with theirs:
                self._connection = Connection(os.dup(self._socket.fileno()))
                opened.enter_context(self._connection)
                self._process = self._started(settings, theirs)
            # Closed by `stop` from now on.
            opened.pop_all()

    def _started(self, settings: DecodingSettings, theirs: socket.socket) -> subprocess.Popen[bytes]:
        told = {
            "socket": theirs.fileno(),
            "output": self._output,
            "memory_bytes": settings.memory_bytes,
            "seconds": settings.seconds,
            "wall_seconds": WALL_S,
            "confined": settings.confined,
        }
        # -P: the folder that it starts in is no place for modules.
        command = [sys.executable, "-P", "-m", "deployments.decoding.process", json.dumps(told)]
        environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), self._output),
            env=environment,
            cwd="/",
        )

    @property
    def usable(self) -> bool:
        """Whether it can be asked again."""
        return self._trusted and self._calls < MOST_CALLS and self._process.poll() is None

    def ask(
        self, operation: str, arguments: tuple[Any, ...], read: Callable[[Packed], T], wanted: Callable[[], bool]
    ) -> T:
        """What an operation makes of its arguments. Afterwards it may no longer be `usable`.

        Args:
            operation, arguments: what is to be done.
            read: makes the result of what the process sent, and raises if that has another form.
            wanted: asked now and then whether anybody waits for it still.

        Raises:
            MediaError: the file cannot be decoded, or not within the bounds, or nobody wants it any more.
            RequestError: a field is wrong.
            NotStarted: this process may open no more files; its media are not at fault.
        """
        self._calls += 1
        try:
            packed = PackedCall((self._calls, operation, arguments))
        except ValueError as error:
            raise MediaError("is gone, because the request that it came with is over") from error
        except OSError as error:
            raise NotStarted(f"a file cannot be handed to a decoding process: {error}") from error
        # Until it has answered as it should.
        self._trusted = False
        # A process that was taken over may never read, or send half an answer.
        ended_late = threading.Timer(WALL_S + MARGIN_S, self._process.kill)
        ended_late.daemon = True
        ended_late.start()
        try:
            with packed:
                packed.send(self._socket, self._connection)
            found = json.loads(self._received(wanted))
            if found["call"] != self._calls:
                raise packing.Malformed("it answers another call")
            refusal = _refusal(found["refused"]) if "refused" in found else None
            result = None if refusal else read(packing.read(found["result"], self._output, self._settings.memory_bytes))
        except (EOFError, OSError):
            raise MediaError(self._obituary()) from None
        except Exception as error:
            # Whatever took the process over does not write results.
            raise MediaError("cannot be decoded") from error
        finally:
            ended_late.cancel()
        self._trusted = True
        if refusal is not None:
            raise refusal
        assert result is not None
        return result

    def _received(self, wanted: Callable[[], bool]) -> bytes:
        while not self._connection.poll(POLL_S):
            if not wanted():
                self._process.kill()
        return self._connection.recv_bytes(packing.MAX_HEADER_BYTES)

    def _obituary(self) -> str:
        """Why the process died, for the sender of the file."""
        self._process.kill()
        status = self._process.wait()
        return TOO_LONG if status in (TIMED_OUT, -signal.SIGPROF, -signal.SIGALRM) else TOO_MUCH

    def stop(self) -> None:
        """End the process; does nothing the second time."""
        if self._stopped:
            return
        self._stopped = True
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._socket.close()
        os.close(self._output)


def _refusal(refused: dict[str, Any]) -> MediaError | RequestError:
    reason = str(refused["reason"])
    if "field" in refused:
        return RequestError(str(refused["field"]), reason)
    return TooManyPixels(reason) if refused["size"] else MediaError(reason)
