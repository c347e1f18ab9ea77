"""Run a Serve config as a private local graph: a Ray of its own, on loopback, of which nothing outlives the caller.

The caller holds one pipe to a keeper (`serve_process`), which owns every process of the graph. Closing the pipe ends
the graph, and so does the death of the caller in any manner; the caller then only waits, and cleans up after a keeper
that was killed itself. This process imports no Ray. It is no cluster launcher: for many nodes, deploy the same config
with `serve deploy`.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from cosmos3_core.errors import CosmosError
from deployments.local.serve_process import ENVIRONMENT, GRACE_SECONDS, KILL_SECONDS, Order, kill_until_none

GRAPH_VARIABLE = "COSMOS3_GRAPH"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
LOG_LINES = 25
PORT_ATTEMPTS = 20
# Below what the kernel hands out by itself, between Ray's workers and Serve's replicas: the many sockets of a graph
# that starts must not take the port that it was promised.
FREE_PORTS = range(20_000, 30_000)
# Ray's sockets need 63 characters more, and a Unix socket's path ends at 107.
_LONGEST_TEMPORARY_FOLDER = 24
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class GraphError(CosmosError):
    """A graph that does not start, or does not live."""


@dataclass(frozen=True)
class Launch:
    """What to start.

    Attributes:
        config: a Serve deploy config, overrides already applied; port 0 picks a free one.
        logical_cpus: the CPUs that Ray schedules by; none counts the machine's.
        dashboard: start Ray's dashboard.
        object_store_bytes: memory of Ray's object store; none leaves it to Ray (30 % of the machine's).
        log: where the output of all processes goes; none is a temporary file, which is kept and named on failure.
    """

    config: dict[str, Any]
    logical_cpus: int | None = None
    dashboard: bool = False
    object_store_bytes: int | None = None
    log: Path | None = None


@dataclass(frozen=True)
class DeploymentStatus:
    """A deployment, in Serve's words; `replicas` counts them by state."""

    name: str
    status: str
    message: str
    replicas: Mapping[str, int]


@dataclass(frozen=True)
class ApplicationStatus:
    """An application, in Serve's words."""

    name: str
    status: str
    message: str
    deployments: tuple[DeploymentStatus, ...]


@dataclass(frozen=True)
class GraphStatus:
    """How far a graph is: `phase` is starting Ray, starting Serve, deploying, serving or stopping."""

    phase: str = "starting"
    ray_address: str = ""
    applications: tuple[ApplicationStatus, ...] = ()

    @property
    def running(self) -> bool:
        """Whether every application runs."""
        return bool(self.applications) and all(one.status == "RUNNING" for one in self.applications)

    @property
    def failed(self) -> ApplicationStatus | None:
        """The first application that Serve gave up."""
        return next((one for one in self.applications if one.status == "DEPLOY_FAILED"), None)

    @classmethod
    def decode(cls, line: bytes) -> GraphStatus:
        """The status in a line of the driver's."""
        fields = json.loads(line)
        applications = (
            ApplicationStatus(**{**one, "deployments": tuple(DeploymentStatus(**each) for each in one["deployments"])})
            for one in fields["applications"]
        )
        return cls(fields["phase"], fields["ray_address"], tuple(applications))


class RunningGraph:
    """A graph from its start to its end; made by `running_graph`.

    Attributes:
        url: where it answers HTTP.
        log: where the output of its processes goes.
        environment: the variables with which other processes connect to its Ray.
        identity: the value of `COSMOS3_GRAPH` in the environment of its processes.
    """

    def __init__(self, launch: Launch) -> None:
        config = copy.deepcopy(launch.config)
        http_options = config["http_options"] = dict(config.get("http_options") or {})
        host: str = http_options.setdefault("host", DEFAULT_HOST)
        self._claim = _PortClaim(host, http_options.get("port", DEFAULT_PORT))
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
        """Host and port of Ray's GCS; empty until Ray is up."""
        return self._status.ray_address

    def status(self) -> GraphStatus:
        """The newest status, at most about half a second old."""
        return self._status

    def alive(self) -> bool:
        """Whether the graph's processes run, whatever they do."""
        return self._keeper is not None and not self._ended and self._keeper.poll() is None

    def wait_ready(self, timeout: float | None = None, on_status: Callable[[GraphStatus], None] | None = None) -> None:
        """Wait until every application runs and answers; `on_status` is called a few times a second.

        Raises `GraphError` as soon as Serve gives an application up, when the graph ends, and after `timeout` seconds.
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
        """Raise `GraphError` where the graph has ended or Serve has given an application up."""
        failed = self._status.failed
        if failed is not None:
            causes = [failed.message, *(one.message for one in failed.deployments if one.status == "DEPLOY_FAILED")]
            message = "\n".join(dict.fromkeys(cause.strip() for cause in causes if cause.strip()))
            raise self._error(f"application {failed.name} could not be deployed: {_COLORS.sub('', message)}")
        if not self.alive():
            raise self._error(f"the graph ended by itself; its last lines:\n{_tail(self.log)}")

    def start(self) -> None:
        """Start the processes; returns at once."""
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
                    # Ctrl-C of the terminal reaches this process alone, which then ends the graph in order.
                    start_new_session=True,
                )
        finally:
            os.close(lifeline_read)
            os.close(status_write)
        with contextlib.suppress(BrokenPipeError):
            self._lifeline.write(self._order(status_write).encode())

    def stop(self) -> None:
        """End every process of the graph. An interrupt meanwhile ends the grace, and is raised when all is done."""
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
        # Only after a keeper that did not finish is there anything to find.
        kill_until_none(self.processes)
        if self._follower is not None:
            self._follower.join(1.0)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._claim.release()

    def processes(self) -> list[psutil.Process]:
        """The graph's living processes, by session and by environment: of any descent, of no other graph."""
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
        """Whether the HTTP proxy knows all routes, which it learns a moment after the applications run."""
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


def free_port(host: str = DEFAULT_HOST) -> int:
    """A port that nothing listens on now."""
    for _ in range(PORT_ATTEMPTS):
        port = secrets.choice(FREE_PORTS)
        probe = _bind(host, port)
        if probe is not None:
            probe.close()
            return port
    raise GraphError(f"no port is free on {host}")


class _PortClaim:
    """A port that nobody listens on, and that no other graph takes before Serve listens.

    Serve listens with SO_REUSEPORT, so two graphs on one port would share its requests without an error. An abstract
    Unix socket is a lock that lives in the network namespace, as ports do, and ends with this process.
    """

    def __init__(self, host: str, port: int) -> None:
        for _ in range(1 if port else PORT_ATTEMPTS):
            self.port = port or free_port(host)
            self._lock = socket.socket(socket.AF_UNIX)
            with contextlib.ExitStack() as on_refusal:
                on_refusal.callback(self.release)
                if self._acquire(host):
                    on_refusal.pop_all()
                    return
        raise GraphError(f"port {self.port} on {host} is taken; choose another one, or 0 for any that is free")

    def release(self) -> None:
        self._lock.close()

    def _acquire(self, host: str) -> bool:
        if sys.platform == "linux":
            try:
                self._lock.bind(f"\0cosmos3-port-{self.port}")
            except OSError:
                return False
        probe = _bind(host, self.port)
        if probe is not None:
            probe.close()
        return probe is not None


def _bind(host: str, port: int) -> socket.socket | None:
    """A socket bound there; none where somebody listens."""
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # Connections of a server that has ended are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    except OSError as error:
        probe.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise GraphError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return probe


def _belongs(process: psutil.Process, session: int | None, identity: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Ray's agents rename themselves, which wipes the environment that can be read from outside.
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
