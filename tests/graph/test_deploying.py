"""The recipe with Ray's own commands: `serve run` and `serve deploy` serve the same graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.graph.processes import foreground, until
from tests.graph.serve_commands import (
    BIN,
    apart,
    deploy,
    models,
    ray_head,
    recipe_on_a_free_port,
    serving,
    url_of,
    written,
)
from tests.graph.starting import START_TIMEOUT_S

pytestmark = pytest.mark.slow

STOP_S = 40.0
IMAGE = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}


def test_serve_run_and_serve_deploy_serve_the_same_graph(tmp_path: Path) -> None:
    config = recipe_on_a_free_port("tiny-cpu", tmp_path)
    recipe, url = written(config, tmp_path / "tiny-cpu.yaml"), url_of(config)
    with apart() as environment:
        with foreground([str(BIN / "serve"), "run", str(recipe)], tmp_path / "run.log", environment) as command:
            started = time.monotonic()
            assert until(lambda: serving(url, command), START_TIMEOUT_S), command.output()[-3000:]
            print(f"\nserve run: healthy after {time.monotonic() - started:.1f} s")
            served, latents = models(url), image_latents(url)
            command.interrupt()
            command.process.wait(STOP_S)
            assert until(lambda: not command.family(), STOP_S), command.family()

        with ray_head(tmp_path / "ray.log", environment) as (command, dashboard):
            started = time.monotonic()
            deploy(recipe, dashboard, environment)
            assert until(lambda: serving(url, command), START_TIMEOUT_S), command.output()[-3000:]
            print(f"serve deploy: healthy after {time.monotonic() - started:.1f} s")
            assert (models(url), image_latents(url)) == (served, latents)


def image_latents(url: str) -> Any:
    answer = httpx.post(f"{url}/v1/images/generations", json=IMAGE, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["latents_sha256"]
