"""A Serve application for tests of the launcher: it echoes its arguments, with the trouble that they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import ray
from ray import serve
from ray.serve import Application

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class _Child:
    """An actor beside its replica, as a second rank is."""

    def pid(self) -> int:
        return os.getpid()


class Echo:
    """Answers with its arguments and the processes it made.

    Arguments: `child` starts an actor in a placement group of its own, `subprocess` a process in a session of its own
    (which only descent finds), `fail` raises in the constructor, `sleep` sleeps that long there.
    """

    def __init__(self, args: dict[str, Any]) -> None:
        self._args = args
        self._pids: list[Any] = [os.getpid()]
        if "fail" in args:
            raise ValueError(args["fail"])
        if args.get("subprocess"):
            self._subprocess = subprocess.Popen(_SLEEP, start_new_session=True, env={})
            self._pids.append(self._subprocess.pid)
        if args.get("child"):
            group = ray.util.placement_group([{"CPU": 0.1}])
            strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
            actor: Any = ray.remote(_Child)
            self._child = actor.options(num_cpus=0.1, scheduling_strategy=strategy).remote()
            self._pids.append(ray.get(self._child.pid.remote()))
        time.sleep(args.get("sleep", 0))

    async def __call__(self, request: Any) -> dict[str, Any]:
        return {"args": self._args, "pids": self._pids, "graph": os.environ.get("COSMOS3_GRAPH")}


def build(args: dict[str, Any]) -> Application:
    """The application; `args` is what the config says."""
    deployment: Any = serve.deployment(Echo)
    application: Application = deployment.options(ray_actor_options={"num_cpus": 0.1}).bind(args)
    return application
