"""The processes behind `launch`: a keeper that owns every process of a graph, and the Ray driver it forks.

The keeper is a few megabytes of Python without Ray. All processes of the graph descend from it, and as a child
subreaper it adopts those whose parents die, so ending the graph is killing its descendants until there are none. It
ends the graph when its lifeline (standard input) closes, which a parent's death does whatever the manner, and when the
driver ends. Only Linux has subreapers; elsewhere a caller that lives still finds all processes, one that was killed
may leave some. This is no public interface: run graphs through `deployments.local.launch`.
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

GRACE_SECONDS = 10.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.5
RAY_ATTEMPTS = 3
LIFELINE = 0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    # Otherwise Ray's servers listen on every interface of the machine; the name is historic.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # The fixed defaults collide with the other Ray instances of the machine.
    "AUTOSCALER_METRIC_PORT": "0",
    "DASHBOARD_METRIC_PORT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
DEFAULTS = {
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_COLOR_PREFIX": "0",
    # vLLM must know this node by the address that Ray has for it.
    "VLLM_HOST_IP": "127.0.0.1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Order:
    """What the parent sends, as one line of JSON.

    Attributes:
        config: a Serve deploy config.
        folder: the graph's private folder, which Ray writes to and the keeper removes.
        parent: process id of the parent.
        status_fd: where the driver writes status lines.
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
    """Keep one graph; returns the exit status of its driver."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    line = _read_line()
    if line is None:
        return 0
    order = Order.decode(line)
    keeper_pid = os.getpid()
    driver = os.fork()
    if driver == 0:
        os._exit(_run_driver(order, keeper_pid))
    os.close(order.status_fd)
    return _Keeper(driver, order).keep()


class _Keeper:
    def __init__(self, driver: int, order: Order) -> None:
        self._driver = driver
        self._order = order
        self._driver_status: int | None = None
        self._hurry = False
        # Handlers rather than SIG_IGN: nothing is inherited by mistake, and SIGTERM cuts the grace short.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def keep(self) -> int:
        while not (self._driver_ended() or self._hurry or self._abandoned()):
            pass
        if self._driver_status is None and not self._hurry:
            os.kill(self._driver, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while not (self._driver_ended() or self._hurry) and time.monotonic() < deadline:
                time.sleep(0.05)
        kill_until_none(lambda: psutil.Process().children(recursive=True), self._reap)
        shutil.rmtree(self._order.folder, ignore_errors=True)
        return self._driver_status or 0

    def _on_signal(self, *_: object) -> None:
        self._hurry = True

    def _abandoned(self) -> bool:
        """Wait a moment for the lifeline to close or the parent to change."""
        readable, _, _ = select.select([LIFELINE], [], [], 0.2)
        return (bool(readable) and not os.read(LIFELINE, 4096)) or os.getppid() != self._order.parent

    def _driver_ended(self) -> bool:
        self._reap()
        return self._driver_status is not None

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._driver:
                self._driver_status = os.waitstatus_to_exitcode(status)


def kill_until_none(find: Callable[[], list[psutil.Process]], reap: Callable[[], None] = lambda: None) -> bool:
    """Kill what `find` finds until it finds nothing; false where something outlives `KILL_SECONDS`."""
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


def _run_driver(order: Order, keeper_pid: int) -> int:
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
        _Driver(order).run()
    except SystemExit:
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


class _Driver:
    """Starts Ray and Serve, deploys, then reports until SIGTERM."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._sent = ""
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
                time.sleep(POLL_SECONDS)
        except SystemExit:
            # Replicas that still start have nothing to finish, and the keeper's kill is at once.
            if self._ready:
                self._shut_down()
            raise

    def _start_ray(self) -> None:
        os.environ.update(ENVIRONMENT)
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        for name in ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_AUTH_TOKEN_PATH"):
            os.environ.pop(name, None)
        import ray

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
            # Ray picks ports before it binds them, so another process can come between.
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
        from ray import serve
        from ray.exceptions import RayError

        try:
            status = serve.status()
        except RayError as error:
            # Serve restarts its controller by itself.
            print(f"no status from Serve: {error}", file=sys.stderr)
            return
        states = [application.status.value for application in status.applications.values()]
        if states and all(state == "RUNNING" for state in states):
            self._ready = True
        self._send("serving" if self._ready else "deploying", _describe(status))

    def _send(self, phase: str, applications: list[dict[str, Any]] | None = None) -> None:
        line = json.dumps({"phase": phase, "ray_address": self._address, "applications": applications or []})
        if line != self._sent:
            self._sent = line
            data = line.encode() + b"\n"
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


def _describe(status: Any) -> list[dict[str, Any]]:
    """A ServeStatus as `deployments.local.launch.GraphStatus.decode` reads it."""
    return [
        {
            "name": name,
            "status": application.status.value,
            "message": application.message,
            "deployments": [
                {
                    "name": deployment_name,
                    "status": deployment.status.value,
                    "message": deployment.message,
                    "replicas": {getattr(state, "value", state): n for state, n in deployment.replica_states.items()},
                }
                for deployment_name, deployment in application.deployments.items()
            ],
        }
        for name, application in status.applications.items()
    ]


def _exit_on_signal(*_: object) -> None:
    raise SystemExit(0)


def _read_line() -> bytes | None:
    """The first line of the lifeline; none where it closes before."""
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
