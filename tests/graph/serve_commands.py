"""Ray's own commands around a recipe: a Ray apart from the machine's others, `serve deploy`, and what is served."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

from deployments.local.ports import free_port
from deployments.local.recipes import find_recipe, load_recipe, override
from tests.graph.processes import Foreground, foreground, healthy, lives, until

BIN = Path(sys.executable).parent
REPLICAS = "ServeReplica:"
RAY_TIMEOUT_S = 60.0
DEPLOY_TIMEOUT_S = 120.0
LOGICAL_CPUS = 2


@contextmanager
def apart() -> Iterator[dict[str, str]]:
    """Variables that keep a Ray apart from the machine's others, with two logical CPUs; none is about the graph."""
    with TemporaryDirectory(prefix="c3", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "VLLM_"))},
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_OVERRIDE_RESOURCES": f'{{"CPU": {LOGICAL_CPUS}, "object_store_memory": 419430400}}',
            "RAY_USAGE_STATS_ENABLED": "0",
            # The fixed defaults collide with the other Ray instances of the machine.
            "AUTOSCALER_METRIC_PORT": "0",
            "DASHBOARD_METRIC_PORT": "0",
        }


@contextmanager
def ray_head(log: Path, environment: dict[str, str]) -> Iterator[tuple[Foreground, int]]:
    """`ray start --head`: the command, and the port of its dashboard, which takes `serve deploy`."""
    dashboard = free_port()
    head = ["start", "--head", "--block", "--port=0", f"--dashboard-port={dashboard}", f"--num-cpus={LOGICAL_CPUS}"]
    with foreground([str(BIN / "ray"), *head], log, environment) as command:
        assert until(lambda: _reachable(dashboard), RAY_TIMEOUT_S), command.output()[-3000:]
        yield command, dashboard


def recipe_on_a_free_port(name: str, folder: Path) -> dict[str, Any]:
    """A recipe of the package, with another port and its files in a folder."""
    return override(load_recipe(find_recipe(name)), port=free_port(), data=folder / "data")


def written(config: dict[str, Any], path: Path) -> Path:
    """The file of a recipe."""
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def url_of(config: dict[str, Any]) -> str:
    """Where the graph of a recipe listens."""
    return f"http://127.0.0.1:{config['http_options']['port']}"


def deploy(recipe: Path, dashboard: int, environment: dict[str, str]) -> None:
    """`serve deploy`, which returns before anything runs."""
    command = [str(BIN / "serve"), "deploy", str(recipe), "--address", f"http://127.0.0.1:{dashboard}"]
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEPLOY_TIMEOUT_S, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def serving(url: str, command: Foreground) -> bool:
    """Whether the graph is healthy; fails if the command that holds it has ended."""
    assert lives(command.process), command.output()[-3000:]
    return healthy(url)


def models(url: str) -> list[str]:
    """The names of the models that are served."""
    return [model["id"] for model in httpx.get(f"{url}/v1/models", timeout=10).json()["data"]]


def _reachable(dashboard: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{dashboard}/api/version", timeout=5).status_code < 500
    except httpx.TransportError:
        return False
