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
from deployments.logs import log
from deployments.reasoner.trials.verdict import WALL_SECONDS, Kind, NotTried, Verdict
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


class NotStarted(NotTried):
    """A trial process could not be started; its own words are in the log."""

    def __init__(self) -> None:
        super().__init__("what the answer is to follow cannot be tried now; try again")


class TrialWorker:
    """A trial process. Any thread may end it by `kill`.

    Args:
        settings: what it may use.

    Raises:
        NotStarted: the system starts no process.
    """

    def __init__(self, settings: TrialSettings) -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        told = {"socket": theirs.fileno(), "memory_bytes": settings.memory_bytes, "seconds": settings.seconds}
        # -P: the folder that it starts in is no place for modules.
        command = [sys.executable, "-P", "-m", "deployments.reasoner.trials.process", json.dumps(told)]
        environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment, cwd="/"
                )
        except OSError as error:
            self._connection.close()
            log.exception("a trial process cannot be started: %s", error)
            raise NotStarted from error

    def prepare(self, vocabulary: bytes) -> None:
        """Have the process ready to be asked.

        Args:
            vocabulary: the tokens, as the grammar library writes them.

        Raises:
            NotStarted: it ended, or was not ready in time.
        """
        try:
            self._connection.send_bytes(vocabulary)
            if not self._connection.poll(START_S):
                raise TimeoutError
            self._connection.recv_bytes(_MAX_ANSWER_BYTES)
        except (EOFError, OSError) as error:
            log.exception("a trial process was not ready within %g s", START_S)
            raise NotStarted from error

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

    def kill(self) -> None:
        """End the process; whoever waits for its answer gets one at once."""
        self._process.kill()

    def stop(self) -> None:
        """End the process, which nobody asks any more, and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
