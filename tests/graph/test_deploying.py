"""The recipe with Ray's own commands: `serve run`, `serve deploy`, and a second model added to a running graph."""

from __future__ import annotations

import copy
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.local.ports import free_port
from deployments.local.recipes import find_recipe
from tests.graph.processes import ENGINE, RANK, Foreground, foreground, healthy, lives, titled, until
from tests.graph.starting import START_TIMEOUT_S

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
STOP_S = 40.0
IMAGE = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}
REPLICAS = "ServeReplica:"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Variables that keep a Ray apart from the machine's others, with two logical CPUs; none is about the graph."""
    with tempfile.TemporaryDirectory(prefix="c3", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "VLLM_"))},
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_OVERRIDE_RESOURCES": '{"CPU": 2, "object_store_memory": 419430400}',
            "RAY_USAGE_STATS_ENABLED": "0",
            # The fixed defaults collide with the other Ray instances of the machine.
            "AUTOSCALER_METRIC_PORT": "0",
            "DASHBOARD_METRIC_PORT": "0",
        }


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe, with another port and another folder for its files."""
    config = yaml.safe_load(find_recipe("tiny-cpu").read_text())
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"]["data"] = str(tmp_path / "data")
    path = tmp_path / "tiny-cpu.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def serving(url: str, command: Foreground) -> bool:
    """Whether the graph answers that it is healthy."""
    assert lives(command.process), command.output()[-3000:]
    return healthy(url)


def url_of(recipe: Path) -> str:
    return f"http://127.0.0.1:{yaml.safe_load(recipe.read_text())['http_options']['port']}"


def image(url: str, **fields: Any) -> httpx.Response:
    answer = httpx.post(f"{url}/v1/images/generations", json=IMAGE | fields, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer


def with_a_second_model(recipe: Path) -> Path:
    """The recipe with an Edge beside the Nano, in what two CPUs have left: its own stages, the same Decoder."""
    config = yaml.safe_load(recipe.read_text())
    front, tiny = config["applications"][:2]
    edge = copy.deepcopy(tiny)
    edge["name"] = "edge"
    edge["args"] |= {"name": "cosmos3-tiny-edge", "checkpoint": "tiny:edge", "reasoner": None}
    edge["args"]["generator"] |= {"leader_resources": {"CPU": 0.1}, "rank_resources": {"CPU": 0.1}}
    edge["deployments"] = [{"name": "Encoder", "ray_actor_options": {"num_cpus": 0.1}}]
    config["applications"].append(edge)
    (ingress,) = (each for each in front["deployments"] if each["name"] == "Ingress")
    ingress["user_config"]["models"].append({"application": "edge"})
    path = recipe.with_name("two-models.yaml")
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def test_serve_run_and_serve_deploy_serve_the_same_graph_and_a_second_model_restarts_nothing(
    environment: dict[str, str], recipe: Path, tmp_path: Path
) -> None:
    url = url_of(recipe)
    with foreground([str(BIN / "serve"), "run", str(recipe)], tmp_path / "run.log", environment) as command:
        started = time.monotonic()
        assert until(lambda: serving(url, command), START_TIMEOUT_S), command.output()[-3000:]
        print(f"\nserve run: healthy after {time.monotonic() - started:.1f} s")
        models = httpx.get(f"{url}/v1/models").json()["data"]
        latents = image(url).json()["data"][0]["latents_sha256"]
        command.interrupt()
        command.process.wait(STOP_S)
        assert until(lambda: not command.family(), STOP_S), command.family()

    dashboard = free_port()
    head = ["start", "--head", "--block", "--port=0", f"--dashboard-port={dashboard}", "--num-cpus=2"]
    with foreground([str(BIN / "ray"), *head], tmp_path / "ray.log", environment) as command:
        assert until(lambda: reachable(dashboard), 60), command.output()[-3000:]
        started = time.monotonic()
        deploy(recipe, dashboard, environment)
        assert until(lambda: serving(url, command), START_TIMEOUT_S), command.output()[-3000:]
        print(f"serve deploy: healthy after {time.monotonic() - started:.1f} s")
        assert [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]] == [m["id"] for m in models]
        assert image(url).json()["data"][0]["latents_sha256"] == latents

        before = {what: titled(what, command.family()) for what in (REPLICAS, RANK, ENGINE)}
        assert [len(pids) for pids in before.values()] == [7, 1, 1]
        started = time.monotonic()
        deploy(with_a_second_model(recipe), dashboard, environment)
        assert until(lambda: "cosmos3-tiny-edge" in ids(url) and serving(url, command), START_TIMEOUT_S)
        print(f"a second model: served after {time.monotonic() - started:.1f} s")
        answers = {model: image(url, model=model) for model in ("cosmos3-tiny-edge", "cosmos3-tiny")}
        assert {model: answer.headers["x-model"] for model, answer in answers.items()} == {m: m for m in answers}
        hashes = {model: answer.json()["data"][0]["latents_sha256"] for model, answer in answers.items()}
        assert hashes["cosmos3-tiny"] == latents != hashes["cosmos3-tiny-edge"]
        # Edge has no sound tokenizer: a mode that the checkpoint cannot do never reaches a stage.
        silent = {"model": "cosmos3-tiny-edge", "prompt": "x", "generate_sound": True}
        refused = httpx.post(f"{url}/v1/videos", json=silent).json()["error"]
        assert (refused["code"], refused["param"]) == (400, "generate_sound")
        after = {what: titled(what, command.family()) for what in before}
        assert all(before[what] <= after[what] for what in before)
        # Encoder, Generator and card of the new one, and its rank.
        assert [len(after[what] - before[what]) for what in before] == [3, 1, 0]


def ids(url: str) -> list[str]:
    return [model["id"] for model in httpx.get(f"{url}/v1/models", timeout=10).json()["data"]]


def reachable(dashboard: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{dashboard}/api/version", timeout=5).status_code < 500
    except httpx.TransportError:
        return False


def deploy(recipe: Path, dashboard: int, environment: dict[str, str]) -> None:
    command = [str(BIN / "serve"), "deploy", str(recipe), "--address", f"http://127.0.0.1:{dashboard}"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
