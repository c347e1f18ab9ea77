"""Run a Serve config as a private local graph, with its own Ray on loopback, which ends with the caller.

The caller holds one pipe to a keeper (`serve_process`), which owns every process of the graph. The graph ends when the
caller closes the pipe or dies in any way. After closing the pipe the caller only waits, and cleans up if the keeper
itself was killed. The caller's process imports no Ray. This is not a cluster launcher: for many nodes, deploy the same
config with `serve deploy`.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from deployments.local.errors import GraphError
from deployments.local.ports import DEFAULT_HOST, DEFAULT_PORT, PortClaim
from deployments.local.serve_process import ENVIRONMENT, GRACE_SECONDS, KILL_SECONDS, Order, kill_until_none
from deployments.local.status import GraphStatus

GRAPH_VARIABLE = "COSMOS3_GRAPH"
LOG_LINES = 25
# The paths of Ray's sockets are 63 characters longer, and a Unix socket's path has at most 107.
_LONGEST_TEMPORARY_FOLDER = 24
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Launch:
    """What to start.

    Attributes:
        config: a Serve deploy config, with overrides already applied; port 0 picks a free one.
        logical_cpus: the number of CPUs that Ray schedules by; None is the machine's.
        dashboard: whether to start Ray's dashboard.
        object_store_bytes: the memory of Ray's object store; None leaves it to Ray (30 % of the machine's).
        log: the file for the output of all processes; None is a temporary file, which is kept and named on failure.
    """

    config: dict[str, Any]
    logical_cpus: int | None = None
    dashboard: bool = False
    object_store_bytes: int | None = None
    log: Path | None = None


class RunningGraph:
    """A graph from its start to its end; `running_graph` makes it.

    Attributes:
        url: the URL at which it answers HTTP.
        log: the file for the output of its processes.
        environment: the variables with which other processes connect to its Ray.
        identity: the value of `COSMOS3_GRAPH` in the environment of its processes.
    """

    def __init__(self, launch: Launch) -> None:
        config = copy.deepcopy(launch.config)
        http_options = config["http_options"] = dict(config.get("http_options") or {})
        host: str = http_options.setdefault("host", DEFAULT_HOST)
        self._claim = PortClaim(host, http_options.get("port", DEFAULT_PORT))
        http_options["port"] = self._claim.port
        self._reachable = {"0.0.0.0": DEFAULT_HOST, "::": "::1"}.get(host, host)
        served = [] if config.get("proxy_location") == "Disabled" else config.get("applications") or []
        self._routes = {app.get("route_prefix", "/") for app in served} - {None}
        self._config = config
        self._launch = launch
        self.url = f"http://{_bracketed(self._reachable)}:{self._claim.port}"
        self.identity = uuid.uuid4().hex
        self.environment = {**ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._folder = Path(_short_temporary_folder()) / f"cosmos3-{self.identity[:8]}"
        self.log = launch.log or self._folder / "log"
        self._lifeline: IO[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._status = GraphStatus()
        self._ended = False
        self._follower: threading.Thread | None = None

    @property
    def ray_address(self) -> str:
        """Host and port of Ray's GCS; empty until Ray has started."""
        return self._status.ray_address

    def status(self) -> GraphStatus:
        """The latest status.

        Until every application runs, it is at most about two seconds old. Then it may be ten seconds old, and two
        seconds again for half a minute after each change.
        """
        return self._status

    def alive(self) -> bool:
        """Whether the graph's processes run, whatever its applications do."""
        return self._keeper is not None and not self._ended and self._keeper.poll() is None

    def wait_ready(self, timeout: float | None = None, on_status: Callable[[GraphStatus], None] | None = None) -> None:
        """Wait until every application runs and answers; `on_status` is called a few times a second.

        Raises:
            GraphError: Serve gave an application up, the graph ended, or `timeout` seconds have passed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                self._changed.wait(0.25)
            status = self._status
            if on_status is not None:
                on_status(status)
            self.check()
            if status.running and self._routed():
                return
            if deadline is not None and time.monotonic() > deadline:
                states = ", ".join(f"{one.name} {one.status}" for one in status.applications) or status.phase
                raise self._error(f"the graph was not ready within {timeout:g} s: {states}")

    def check(self) -> None:
        """Check that the graph goes on.

        Raises:
            GraphError: Serve gave an application up, or the graph has ended.
        """
        failed = self._status.failed
        if failed is not None:
            causes = [failed.message, *(one.message for one in failed.deployments if one.status == "DEPLOY_FAILED")]
            message = "\n".join(dict.fromkeys(cause.strip() for cause in causes if cause.strip()))
            raise self._error(f"application {failed.name} could not be deployed: {_COLORS.sub('', message)}")
        if not self.alive():
            raise self._error(f"the graph ended by itself; its last lines:\n{_tail(self.log)}")

    def start(self) -> None:
        """Start the processes and return at once."""
        self._folder.mkdir(mode=0o700)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        status_read, status_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        self._lifeline = open(lifeline_write, "wb", buffering=0)  # noqa: SIM115
        self._follower = threading.Thread(target=self._follow, args=(open(status_read, "rb"),), daemon=True)  # noqa: SIM115
        self._follower.start()
        try:
            with self.log.open("wb") as log:
                self._keeper = subprocess.Popen(
                    [sys.executable, "-m", "deployments.local.serve_process"],
                    stdin=lifeline_read,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.environment, GRAPH_VARIABLE: self.identity},
                    pass_fds=(status_write,),
                    # The terminal's Ctrl-C then reaches only this process, which ends the graph in order.
                    start_new_session=True,
                )
        finally:
            os.close(lifeline_read)
            os.close(status_write)
        with contextlib.suppress(BrokenPipeError):
            self._lifeline.write(self._order(status_write).encode())

    def stop(self) -> None:
        """End every process of the graph. An interrupt cuts the grace short and is raised again at the end."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._stop()
                break
            except (KeyboardInterrupt, SystemExit) as error:
                interrupt = error
                if self._keeper is not None:
                    self._keeper.send_signal(signal.SIGTERM)
        if interrupt is not None:
            raise interrupt

    def _order(self, status_fd: int) -> Order:
        return Order(
            config=self._config,
            folder=str(self._folder),
            parent=os.getpid(),
            status_fd=status_fd,
            logical_cpus=self._launch.logical_cpus,
            dashboard=self._launch.dashboard,
            object_store_bytes=self._launch.object_store_bytes,
        )

    def _stop(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
        if self._keeper is not None:
            try:
                self._keeper.wait(GRACE_SECONDS + KILL_SECONDS + 5)
            except subprocess.TimeoutExpired:
                self._keeper.kill()
                self._keeper.wait()
        # This finds processes only if the keeper was killed before it was done.
        kill_until_none(self.processes)
        if self._follower is not None:
            self._follower.join(1.0)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._claim.release()

    def processes(self) -> list[psutil.Process]:
        """The graph's living processes, whoever started them, recognised by their session or their environment."""
        session = None if self._keeper is None else self._keeper.pid
        return [one for one in psutil.process_iter() if _belongs(one, session, self.identity)]

    def _follow(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                if line.endswith(b"\n"):
                    self._set(GraphStatus.decode(line))
        self._set(None)

    def _set(self, status: GraphStatus | None) -> None:
        with self._changed:
            self._ended = status is None
            self._status = status or self._status
            self._changed.notify_all()

    def _routed(self) -> bool:
        """Whether the HTTP proxy knows all routes, which it learns a moment after the applications have started."""
        if not self._routes:
            return True
        connection = http.client.HTTPConnection(self._reachable, self._claim.port, timeout=2)
        try:
            connection.request("GET", "/-/routes")
            return self._routes <= set(json.load(connection.getresponse()))
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def _error(self, sentence: str) -> GraphError:
        if self.log.parent == self._folder and self.log.exists():
            kept = Path(tempfile.gettempdir()) / f"{self._folder.name}.log"
            self.log = self.log.replace(kept)
        return GraphError(f"{sentence}\nThe whole log: {self.log}")


@contextlib.contextmanager
def running_graph(launch: Launch) -> Iterator[RunningGraph]:
    """Start a graph and end it with the block; wait for it with `RunningGraph.wait_ready`."""
    graph = RunningGraph(launch)
    try:
        graph.start()
        yield graph
    finally:
        graph.stop()


def _belongs(process: psutil.Process, session: int | None, identity: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Ray's agents rename themselves, which overwrites the environment that other processes can read.
        return os.getsid(process.pid) == session or process.environ().get(GRAPH_VARIABLE) == identity
    except (psutil.Error, OSError):
        return False


def _short_temporary_folder() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _LONGEST_TEMPORARY_FOLDER else "/tmp"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-LOG_LINES:])
