"""The recipe with Ray's own commands: what `serve run` serves; test_family.py deploys with `serve deploy`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.modes import Mode
from deployments.settings.model import ModelSettings
from tests.graph.processes import foreground, until
from tests.graph.serve_commands import BIN, apart, models, recipe_on_a_free_port, serving, url_of, written
from tests.graph.starting import START_TIMEOUT_S, without_chat

pytestmark = pytest.mark.slow

STOP_S = 40.0
IMAGE = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}


def test_serve_run_serves_what_the_pipeline_makes(tmp_path: Path) -> None:
    config = without_chat(recipe_on_a_free_port("tiny-cpu", tmp_path))
    recipe, url = written(config, tmp_path / "tiny-cpu.yaml"), url_of(config)
    with (
        apart() as environment,
        foreground([str(BIN / "serve"), "run", str(recipe)], tmp_path / "run.log", environment) as command,
    ):
        started = time.monotonic()
        assert until(lambda: serving(url, command), START_TIMEOUT_S), command.output()[-3000:]
        print(f"\nserve run: healthy after {time.monotonic() - started:.1f} s")
        assert models(url) == ["cosmos3-tiny"]
        assert image_latents(url) == made_alone(config)
        command.interrupt()
        command.process.wait(STOP_S)
        assert until(lambda: not command.family(), STOP_S), command.family()


def image_latents(url: str) -> Any:
    answer = httpx.post(f"{url}/v1/images/generations", json=IMAGE, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["latents_sha256"]


def made_alone(config: dict[str, Any]) -> Any:
    """The hashes of the same image's latents, made in this process."""
    settings = ModelSettings.model_validate(config["applications"][1]["args"])
    pipeline = LocalPipeline.from_pretrained(settings.find_checkpoint().root, device="cpu", dtype="float32")
    request = GenerationRequest(
        mode=Mode.TEXT_TO_IMAGE,
        prompt="a robot",
        width=64,
        height=64,
        num_inference_steps=2,
        seed=1,
        preset="vllm-omni",
    )
    return pipeline.generate(request).manifest.latents_sha256
