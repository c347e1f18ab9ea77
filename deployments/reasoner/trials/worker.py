"""One trial process as its caller sees it: started, asked, and killed if it does not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from deployments.decoding.confinement import TIMED_OUT
from deployments.reasoner.trials.verdict import WALL_SECONDS, Kind, Verdict
from deployments.settings.trials import TrialSettings

START_S = 120.0
MARGIN_S = 10.0
_MAX_ANSWER_BYTES = 64
# Nothing of the caller's environment, which may hold credentials, but for where its libraries are; and no GPU.
_ENVIRONMENT = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ} | {
    "CUDA_VISIBLE_DEVICES": "",
    # Few arenas, because each reserves address space.
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_TOO_LONG = (TIMED_OUT, -signal.SIGPROF, -signal.SIGALRM)


class NotStarted(RuntimeError):
    """A trial process could not be started; its own words are in the log."""


class TrialWorker:
    """A trial process.

    Args:
        settings: what it may use.
        vocabulary: the tokens, as the grammar library writes them.

    Raises:
        NotStarted: it ended, or was not ready in time.
    """

    def __init__(self, settings: TrialSettings, vocabulary: bytes) -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        told = {"socket": theirs.fileno(), "memory_bytes": settings.memory_bytes, "seconds": settings.seconds}
        # -P: the folder that it starts in is no place for modules.
        command = [sys.executable, "-P", "-m", "deployments.reasoner.trials.process", json.dumps(told)]
        environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment, cwd="/"
            )
        try:
            self._connection.send_bytes(vocabulary)
            if not self._connection.poll(START_S):
                raise NotStarted(f"a trial process was not ready within {START_S:g} s")
            self._connection.recv_bytes(_MAX_ANSWER_BYTES)
        except (EOFError, OSError) as error:
            self.stop()
            raise NotStarted("a trial process ended while it started") from error
        except BaseException:
            self.stop()
            raise

    @property
    def usable(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def ask(self, kind: Kind, text: str) -> Verdict:
        """How a grammar behaves. Afterwards the process may no longer be `usable`."""
        try:
            self._connection.send((str(kind), text))
            if not self._connection.poll(WALL_SECONDS + MARGIN_S):
                self._process.kill()
                return Verdict.SLOW_TO_COMPILE
            return Verdict(self._connection.recv_bytes(_MAX_ANSWER_BYTES).decode())
        except (EOFError, OSError):
            return Verdict.SLOW_TO_COMPILE if self._process.wait() in _TOO_LONG else Verdict.TOO_LARGE

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
