"""`upsample_prompt` on the running graph: the Reasoner writes a prompt that the Generator follows.

The weights are random, so the texts mean nothing; constrained decoding makes structured prompts of them all the same.
The graph has templates with few fields, as an operator may have their own; `graph/test_upsampling` has the project's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cosmos3_core.manifest import Manifest
from cosmos3_core.modes import Mode
from cosmos3_core.upsampling.template import Template
from deployments.cli.client import Client
from deployments.cli.main import app
from deployments.local.launch import RunningGraph
from tests.graph.figures import settled
from tests.graph.starting import TEMPLATES
from tests.graph.templates import FORM
from tests.surface.inputs import TINY, as_parts, jpeg
from tests.surface.reading import completed, error_of, stage_durations

ASKED: dict[str, Any] = {"extra_params": {"upsample_prompt": True}}
IMAGE: dict[str, Any] = {"prompt": "a robot folds a shirt", "size": "64x64", "num_inference_steps": 1, "seed": 11}
VIDEO: dict[str, Any] = {**TINY, "prompt": "a robot pours water", "seed": 12}
CHATS = "cosmos3_reasoner_chat_requests"


def caption_in(text: str, mode: Mode) -> dict[str, Any]:
    """A structured prompt, which has all fields of its form and those that say what is generated."""
    caption: dict[str, Any] = json.loads(text)
    timing = [] if mode.is_image else ["duration", "fps"]
    # All but the notes, which come first.
    assert list(caption) == [*list(FORM)[1:], *timing, "resolution", "aspect_ratio"]
    assert caption["lighting"].keys() == FORM["lighting"].keys()
    assert all(subject.keys() == FORM["subjects"][0].keys() for subject in caption["subjects"])
    assert caption["resolution"] == {"H": 64, "W": 64} and caption["aspect_ratio"] == "1,1"
    return caption


def images(http: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    answer = http.post("/v1/images/generations", json=IMAGE | fields)
    assert answer.status_code == 200, answer.text
    assert "x-ignored-fields" not in answer.headers
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def chats(client: Client) -> float:
    """How many chats the Reasoner has had, once the graph is idle."""
    return settled(client)[CHATS]


def test_an_image_is_made_from_the_prompt_that_the_reasoner_wrote(http: httpx.Client, client: Client) -> None:
    before = chats(client)
    (image,) = images(http, **ASKED)
    caption_in(image["revised_prompt"], Mode.TEXT_TO_IMAGE)
    # The Generator got that text, not the client's.
    (same,), (plain,) = images(http, prompt=image["revised_prompt"]), images(http)
    assert same["latents_sha256"] == image["latents_sha256"] != plain["latents_sha256"]
    assert same["revised_prompt"] is plain["revised_prompt"] is None
    assert chats(client) == before + 1
    # The same again, also as several images, is one prompt that is known already.
    (again,), several = images(http, **ASKED), images(http, **ASKED, n=2)
    assert again == image and several[0] == image
    assert several[1]["revised_prompt"] == image["revised_prompt"] and several[1]["seed"] == 12
    assert chats(client) == before + 1
    (other,) = images(http, **ASKED, seed=13)
    assert other["revised_prompt"] != image["revised_prompt"] and chats(client) == before + 2


def test_a_video_job_shows_its_prompt_everywhere(http: httpx.Client, graph_data: Path) -> None:
    created = http.post("/v1/videos", json=VIDEO | {"upsample_prompt": True})
    assert created.status_code == 200 and created.json()["upsampled_prompt"] is None
    job = completed(http, created.json()["id"])
    caption = caption_in(job["upsampled_prompt"], Mode.TEXT_TO_VIDEO)
    # Five frames at 24 a second.
    assert (caption["duration"], caption["fps"]) == ("0s", 24.0)
    assert job["prompt"] == VIDEO["prompt"]
    assert list(job["stage_durations"]) == ["upsample", "encode", "denoise", "decode"]
    events = http.get(f"/v1/videos/{job['id']}/events").text
    assert events.index('"stage": "upsample"') < events.index("event: upsampled") < events.index('"stage": "encode"')
    manifest = Manifest.model_validate(http.get(f"/v1/videos/{job['id']}/manifest").json())
    assert manifest.request["prompt"] == VIDEO["prompt"] and manifest.upsampled is not None
    assert manifest.upsampled.prompt == job["upsampled_prompt"] == manifest.resolved["positive"]
    template = Template.read(graph_data / TEMPLATES, Mode.TEXT_TO_VIDEO)
    assert manifest.upsampled.template_sha256 == template.sha256
    plain = completed(http, http.post("/v1/videos", json=VIDEO | {"prompt": job["upsampled_prompt"]}).json()["id"])
    assert plain["latents_sha256"] == job["latents_sha256"] and plain["upsampled_prompt"] is None
    assert "upsample" not in plain["stage_durations"]


def test_the_reasoner_sees_the_picture_that_a_video_starts_with(http: httpx.Client, client: Client) -> None:
    before = settled(client)
    for name in ("humanoid_robot", "av_0", "humanoid_robot"):
        answer = http.post("/v1/videos/sync", files=as_parts(VIDEO | ASKED, input_reference=jpeg(name, 96, 96)))
        assert answer.status_code == 200, answer.text
        assert set(stage_durations(answer)) == {"upsample", "encode", "denoise", "decode"}
    after = settled(client)
    assert after[CHATS] == before[CHATS] + 2, "two pictures"
    seen = "cosmos3_encoder_embed_requests"
    assert after[seen] == before[seen] + 2
    assert after["cosmos3_model_upsample_cache_hits"] == before["cosmos3_model_upsample_cache_hits"] + 1


def test_a_manifest_makes_the_same_bits_without_the_reasoner(
    graph: RunningGraph, client: Client, tmp_path: Path
) -> None:
    made, again = tmp_path / "made.json", tmp_path / "again.json"
    asked = ["--mode", "t2v", "--prompt", "rain on a window", "--size", "64x64", "--num-frames", "5", "--steps", "1"]

    def generate(*arguments: str | Path) -> str:
        given = ["generate", "--url", graph.url, "-o", tmp_path / "out.mp4", *arguments]
        done = CliRunner().invoke(app, [str(argument) for argument in given])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stderr

    generate(*asked, "--upsample-prompt", "--manifest", made)
    before = chats(client)
    assert "the same latents" in generate("--from-manifest", made, "--manifest", again)
    assert chats(client) == before
    first, second = (Manifest.model_validate_json(path.read_bytes()) for path in (made, again))
    assert first.upsampled is not None and second.upsampled is None
    assert second.request["prompt"] == first.upsampled.prompt and first.latents_sha256 == second.latents_sha256


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/images/generations", {"upsample_prompt": "perhaps"}),
        ("/v1/videos/sync", {"extra_params": {"upsample_prompt": 7}}),
        ("/v1/videos", ASKED | {"edge": True}),
    ],
)
def test_wrong_uses_are_refused(path: str, fields: dict[str, Any], http: httpx.Client) -> None:
    assert error_of(http.post(path, json=TINY | fields), 400)["param"] == "upsample_prompt"


def test_a_structured_prompt_is_used_as_it_is(http: httpx.Client) -> None:
    body = IMAGE | ASKED | {"prompt": json.dumps({"comprehensive_t2i_caption": "a robot"})}
    answer = http.post("/v1/images/generations", json=body)
    assert answer.headers["x-ignored-fields"] == "upsample_prompt"
    assert answer.json()["data"][0]["revised_prompt"] is None


def test_a_prompt_that_the_reasoner_cannot_hold_fails_and_says_why(http: httpx.Client) -> None:
    """Nobody but its engine counts its tokens."""
    error = error_of(http.post("/v1/images/generations", json=IMAGE | ASKED | {"prompt": "robot " * 9000}), 502)
    assert error["message"].startswith("the Reasoner refused to write the prompt: 400 ")
