"""What a manifest says of a result, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from cosmos3_core import Checkpoint, GenerationRequest, LocalPipeline, Manifest
from cosmos3_core.manifest import differences
from cosmos3_core.media.stills import encode_image
from cosmos3_core.provenance import Split
from tests.manifests import IMAGE, VIDEO, a_request
from tests.parity.cases import picture


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (path := tmp_path / "image.png").write_bytes(encode_image(picture(96, 128, 1), "png"))
    return path


def test_what_a_manifest_says(pipeline: LocalPipeline, nano: Path) -> None:
    before = time.time()
    result = pipeline.generate(a_request(guidance_interval=(100, 900), preset="diffusers"))
    made = result.manifest
    assert made == Manifest.model_validate(json.loads(made.model_dump_json()))
    assert before <= made.created_at <= time.time() and made.mode == "text2video"
    assert made.request == {
        "prompt": "a robot waves",
        "guidance_interval": [100.0, 900.0],
        "preset": "diffusers",
        **VIDEO,
    }
    resolved, encoded = pipeline.encode(a_request(preset="diffusers"))
    assert (
        made.resolved["sampling"]["schedule"]["kind"] == "karras"
        and made.resolved["sampling"]["schedule"]["shift"] is None
    )
    assert made.resolved["sampling"]["schedule"]["sigmas"] == list(resolved.sampling.schedule.sigmas)
    assert made.resolved["sampling"]["seed"] == 42 and made.resolved["positive"] == resolved.positive != "a robot waves"
    assert made.prompts["conditional"].sha256 == encoded.conditional.key
    assert encoded.unconditional is not None and made.prompts["unconditional"].tokens == encoded.unconditional.tokens
    assert made.checkpoint.name == nano.name and (made.checkpoint.revision, made.checkpoint.family) == (None, "nano")
    assert (
        made.precision["encode"] == made.precision["denoise"]
        and made.precision["denoise"].threads == torch.get_num_threads()
    )
    assert made.approximations == ("guidance_interval",)
    assert set(made.stage_seconds) == {"encode", "denoise", "decode"} and made.versions["torch"] == torch.__version__
    latents = result.latents["vision"].numpy().tobytes()  # type: ignore[index]  # a StrEnum's value is its key
    assert made.latents_sha256["vision"] == hashlib.sha256(latents).hexdigest()


def test_what_is_no_approximation(pipeline: LocalPipeline) -> None:
    preset = pipeline.generate(GenerationRequest(**IMAGE))
    assert preset.manifest.resolved["sampling"]["guidance"]["interval"] == [400.0, 1000.0]
    assert preset.manifest.approximations == ()
    unguided = pipeline.generate(a_request(guidance_interval=(100, 900), guidance_scale=1))
    assert unguided.manifest.approximations == () and set(unguided.manifest.prompts) == {"conditional"}


def test_given_noise_is_said(pipeline: LocalPipeline) -> None:
    request = a_request()
    noise = {"vision": torch.zeros(48, 2, 4, 4)}
    assert pipeline.generate(request, noise).manifest.resolved["sampling"]["noise"] == "given"
    assert pipeline.generate(request).manifest.resolved["sampling"]["noise"] == "torch"


def test_a_pipe_is_read_once(pipeline: LocalPipeline, image: Path) -> None:
    from_file = pipeline.generate(a_request(mode="image2video", image=image))
    reading, writing = os.pipe()
    os.write(writing, image.read_bytes())
    os.close(writing)
    from_pipe = pipeline.generate(a_request(mode="image2video", image=f"/dev/fd/{reading}"))
    os.close(reading)
    assert from_pipe.latents_sha256 == from_file.latents_sha256
    assert from_pipe.manifest.media["image"].of == "frames"


@pytest.mark.parametrize("place", ["here", ".", "link"])
def test_a_folder_is_known_by_its_name_alone(
    place: str, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(nano)
    monkeypatch.chdir(nano if place == "." else tmp_path)
    found = Checkpoint.find({"here": str(nano)}.get(place, place))
    assert (found.public_name, found.revision) == ("link" if place == "link" else nano.name, None)


def test_a_repository_is_known_by_its_id_and_commit(nano: Path) -> None:
    found = Checkpoint("nvidia/Cosmos3-Nano", nano, fetch=lambda _: nano)
    assert (found.public_name, found.revision) == ("nvidia/Cosmos3-Nano", nano.name)


def test_differences_are_those_that_change_bits(pipeline: LocalPipeline) -> None:
    made = pipeline.generate(a_request()).manifest
    cost = {"created_at": 0.0, "stage_seconds": {}, "tries": 3, "job_id": "a", "resumed_at_step": (1,)}
    assert differences(made, made.model_copy(update=cost)) == []
    whole = made.model_copy(update={"plan": Split(cfg=2, ulysses=4, spread=False)})
    assert differences(made, whole) == []
    split = made.model_copy(update={"plan": Split(cfg=2, ulysses=4)})
    assert differences(made, split) == ["plan.cfg: 2, was 1", "plan.ulysses: 4, was 1"]
    other = pipeline.generate(a_request(seed=7, negative_prompt="x" * 100)).manifest
    assert {"resolved.sampling.seed: 7, was 42", "resolved.negative: another"} <= set(differences(made, other))


def test_nothing_is_added_to_a_manifest_in_silence(pipeline: LocalPipeline) -> None:
    made = pipeline.generate(a_request()).manifest.model_dump(mode="json")
    with pytest.raises(ValidationError, match="colour"):
        Manifest.model_validate(made | {"colour": "red"})
