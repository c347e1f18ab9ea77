"""The processes behind `launch`: a keeper that owns every process of a graph, and the deployer that it forks.

The keeper is a few megabytes of Python without Ray. All processes of the graph descend from it, and as a child
subreaper it adopts those whose parents die. So it ends the graph by killing its own descendants until none are left. It
does so when its lifeline (standard input) closes, which any death of the parent causes, and when the deployer ends.
Only Linux has subreapers. On other systems a caller still finds all processes while it lives; if it is killed, some may
stay. This is not a public interface: run graphs through `deployments.local.launch`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from deployments.local.loopback import HOOK, path_of_workers
from deployments.local.status import ApplicationStatus, GraphStatus
from deployments.names import INTAKE_VARIABLE

GRACE_SECONDS = 10.0
KILL_SECONDS = 5.0
POLL_SECONDS = 2.0
# A status costs CPU here and in Serve's controller. Serve's own notifications are private, and come with every figure
# that a Generator reports.
IDLE_POLL_SECONDS = 10.0
IDLE_AFTER_SECONDS = 30.0
RAY_ATTEMPTS = 3
LIFELINE = 0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    # Otherwise Ray's servers listen on every interface of the machine. The name is historical.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # The fixed defaults collide with other Ray instances on the machine.
    "AUTOSCALER_METRIC_PORT": "0",
    "DASHBOARD_METRIC_PORT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
DEFAULTS = {
    # Serve obeys some headers of clients, and answers some errors as plain text.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.ingress.proxy:middleware",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    # Serve's own is 0.1: most of what the controller of an idle graph computes.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "1",
    # How often every replica and every handle passes its counts on to Ray, which exports them far less often.
    # Serve's own is 100 ms: most of what the Python of an idle replica does.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "2000",
    # Ray's log monitor looks for new files ten times a second below this number of files, else every half second.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    # Ray's agent reads /proc of every process for its exporter; every process sends its figures there, and its list of
    # finished tasks to Ray's GCS. Ray's own are five seconds, ten and one.
    "REPORTER_UPDATE_INTERVAL_MS": "30000",
    "RAY_metrics_report_interval_ms": "30000",
    "RAY_task_events_report_interval_ms": "10000",
    # How often a node tells Ray's GCS of its free resources. Ray's own is 100 ms.
    "RAY_raylet_report_resources_period_milliseconds": "500",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_COLOR_PREFIX": "0",
    # vLLM must use the address by which Ray knows this node.
    "VLLM_HOST_IP": "127.0.0.1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Order:
    """What the parent sends to the keeper, as one line of JSON.

    Attributes:
        config: a Serve deploy config.
        folder: the graph's private folder, which Ray writes to and the keeper removes.
        parent: process id of the parent.
        status_fd: the file descriptor to which the deployer writes status lines.
        logical_cpus, dashboard, object_store_bytes: see `deployments.local.launch.Launch`.
    """

    config: dict[str, Any]
    folder: str
    parent: int
    status_fd: int
    logical_cpus: int | None
    dashboard: bool
    object_store_bytes: int | None

    def encode(self) -> bytes:
        """The line that `decode` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """The order in a line."""
        return cls(**json.loads(line))


def main() -> int:
    """Keep one graph; return the exit status of its deployer."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    line = _read_line()
    if line is None:
        return 0
    order = Order.decode(line)
    keeper_pid = os.getpid()
    deployer = os.fork()
    if deployer == 0:
        os._exit(_run_deployer(order, keeper_pid))
    os.close(order.status_fd)
    return _Keeper(deployer, order).keep()


class _Keeper:
    def __init__(self, deployer: int, order: Order) -> None:
        self._deployer = deployer
        self._order = order
        self._deployer_status: int | None = None
        self._hurry = False
        # Handlers rather than SIG_IGN, which children would inherit. SIGTERM cuts the grace short.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def keep(self) -> int:
        while not (self._deployer_ended() or self._hurry or self._abandoned()):
            pass
        if self._deployer_status is None and not self._hurry:
            os.kill(self._deployer, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while not (self._deployer_ended() or self._hurry) and time.monotonic() < deadline:
                time.sleep(0.05)
        kill_until_none(lambda: psutil.Process().children(recursive=True), self._reap)
        shutil.rmtree(self._order.folder, ignore_errors=True)
        return self._deployer_status or 0

    def _on_signal(self, *_: object) -> None:
        self._hurry = True

    def _abandoned(self) -> bool:
        """Wait a moment for the lifeline to close or the parent to change."""
        readable, _, _ = select.select([LIFELINE], [], [], 0.2)
        return (bool(readable) and not os.read(LIFELINE, 4096)) or os.getppid() != self._order.parent

    def _deployer_ended(self) -> bool:
        self._reap()
        return self._deployer_status is not None

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._deployer:
                self._deployer_status = os.waitstatus_to_exitcode(status)


def kill_until_none(find: Callable[[], list[psutil.Process]], reap: Callable[[], None] = lambda: None) -> bool:
    """Kill what `find` finds until it finds nothing; false if a process outlives `KILL_SECONDS`."""
    deadline = time.monotonic() + KILL_SECONDS
    while processes := find():
        for process in processes:
            try:
                process.kill()
            except psutil.Error:
                continue
        reap()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _run_deployer(order: Order, keeper_pid: int) -> int:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper_pid:
        return 1
    signal.signal(signal.SIGTERM, _exit_on_signal)
    os.set_inheritable(order.status_fd, False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, LIFELINE)
    os.close(null)
    status = 1
    try:
        _Deployer(order).run()
    except SystemExit:
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


class _Deployer:
    """Starts Ray and Serve, deploys, then reports the status until SIGTERM. To Ray it is the driver."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._sent: GraphStatus | None = None
        self._changed_at = 0.0
        self._address = ""
        self._ready = False

    def run(self) -> None:
        try:
            self._send("starting Ray")
            self._start_ray()
            self._send("starting Serve")
            self._deploy()
            while True:
                self._report()
                time.sleep(poll_seconds(self._ready, time.monotonic() - self._changed_at))
        except SystemExit:
            # Replicas that are still starting have nothing to finish, and the keeper kills at once.
            if self._ready:
                self._shut_down()
            raise

    def _start_ray(self) -> None:
        os.environ.update(ENVIRONMENT)
        for name, value in (DEFAULTS | intake_variable(self._order.config)).items():
            os.environ.setdefault(name, value)
        for name in ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_AUTH_TOKEN_PATH"):
            os.environ.pop(name, None)
        import ray
        from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR

        # `runtime_env` could name the hook too, but then every worker that Ray starts ahead would be of no use.
        os.environ[WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = HOOK
        os.environ["PYTHONPATH"] = path_of_workers(os.environ.get("PYTHONPATH", ""))
        for attempt in range(1, RAY_ATTEMPTS + 1):
            try:
                ray.init(
                    address="local",
                    namespace="serve",
                    num_cpus=self._order.logical_cpus,
                    include_dashboard=self._order.dashboard,
                    object_store_memory=self._order.object_store_bytes,
                    _temp_dir=self._order.folder,
                )
                break
            # Ray picks ports before it binds them, so another process can take one in between.
            except Exception as error:
                if attempt == RAY_ATTEMPTS:
                    raise
                print(f"Ray did not start, trying again: {error}", file=sys.stderr)
                ray.shutdown()
        self._address = ray.get_runtime_context().gcs_address
        # ray.init replaced it.
        signal.signal(signal.SIGTERM, _exit_on_signal)

    def _deploy(self) -> None:
        from ray.serve._private import api
        from ray.serve.config import gRPCOptions
        from ray.serve.schema import ServeDeploySchema

        config = ServeDeploySchema.model_validate(self._order.config)
        client = api.serve_start(
            http_options=config.http_options.model_dump(),
            proxy_location=config.proxy_location,
            grpc_options=gRPCOptions(**config.grpc_options.model_dump()),
            controller_options=config.controller_options,
        )
        self._send("deploying")
        client.deploy_apps(config, _blocking=False)

    def _report(self) -> None:
        from ray.exceptions import RayError

        from deployments.serve_status import serve_status

        try:
            applications = tuple(serve_status().values())
        except RayError as error:
            # Serve restarts its controller by itself.
            print(f"no status from Serve: {error}", file=sys.stderr)
            self._changed_at = time.monotonic()
            return
        self._ready |= GraphStatus(applications=applications).running
        self._send("serving" if self._ready else "deploying", applications)

    def _send(self, phase: str, applications: tuple[ApplicationStatus, ...] = ()) -> None:
        status = GraphStatus(phase, self._address, applications)
        if status != self._sent:
            self._sent = status
            self._changed_at = time.monotonic()
            data = status.encode()
            while data:
                data = data[os.write(self._order.status_fd, data) :]

    def _shut_down(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        import ray
        from ray import serve

        self._send("stopping")
        shut_down_serve: Callable[[], None] = serve.shutdown
        shut_down_serve()
        ray.shutdown()


def intake_variable(config: dict[str, Any]) -> dict[str, str]:
    """The variable by which Serve's HTTP server learns the front's `intake`, if a Serve config has it."""
    args = (application.get("args") or {} for application in config.get("applications") or [])
    given = [found["intake"] for found in args if "intake" in found]
    return {INTAKE_VARIABLE: json.dumps(given[0])} if given else {}


def poll_seconds(ready: bool, unchanged_seconds: float) -> float:
    """How long to wait before asking Serve for its status again: long if the graph is ready and nothing has changed."""
    return IDLE_POLL_SECONDS if ready and unchanged_seconds >= IDLE_AFTER_SECONDS else POLL_SECONDS


def _exit_on_signal(*_: object) -> None:
    raise SystemExit(0)


def _read_line() -> bytes | None:
    """The first line on the lifeline; None if it closes before."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(LIFELINE, 65536)
        if not part:
            return None
        line += part
    return line


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
