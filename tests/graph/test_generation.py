"""Images, videos, sound and actions through HTTP: the same bits as in one process, and jobs that behave."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from openai import OpenAI

from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import decode_image, encode_image
from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from examples.first_frame import first_frame_in_file
from tests.parity.cases import picture

SMALL = {"width": 128, "height": 96, "num_inference_steps": 4, "seed": 7, "guidance_scale": 4.0}
CLIP = {**SMALL, "num_frames": 9, "fps": 12.0}
ACTION = {"num_inference_steps": 3, "seed": 3, "resolution": "256", "domain_name": "av", "action_chunk_size": 8}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalPipeline]:
    """The same stages in this process, with as many threads as the recipe gives its stages."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield LocalPipeline.from_pretrained("tiny:nano", device="cpu", dtype="float32")
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    image, video = folder / "image.png", folder / "video.mp4"
    image.write_bytes(encode_image(picture(120, 160, seed=1), "png"))
    encode_mp4(video, [picture(96, 128, seed=number) for number in range(17)], 12.0)
    return {"image": image, "video": video}


def rows(count: int) -> list[list[float]]:
    return [[round(0.05 * np.sin(row * (column + 1)), 4) for column in range(9)] for row in range(count)]


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "text2image": ({"mode": "text2image", "prompt": "a robot", **SMALL}, ()),
    "text2video with sound": ({"mode": "text2video", "prompt": "a robot", "generate_sound": True, **CLIP}, ()),
    "text2video without guidance": ({"mode": "text2video", "prompt": "rain", **CLIP, "guidance_scale": 1.0}, ()),
    "image2video": ({"mode": "image2video", "prompt": "a robot", **CLIP}, ("image",)),
    "video2video": ({"mode": "video2video", "prompt": "on it goes", **CLIP}, ("video",)),
    "forward_dynamics": (
        {"mode": "forward_dynamics", "prompt": "drive", "action": rows(8), **ACTION},
        ("image",),
    ),
    "inverse_dynamics": ({"mode": "inverse_dynamics", "prompt": "drive", **ACTION}, ("video",)),
    "policy": ({"mode": "policy", "prompt": "drive", "negative_prompt": "", **ACTION}, ("image",)),
}


@pytest.mark.parametrize("name", CASES)
def test_http_gives_the_bits_of_the_local_pipeline(
    name: str, local: LocalPipeline, client: Client, media: dict[str, Path]
) -> None:
    fields, needed = CASES[name]
    given = fields | {kind: media[kind] for kind in needed}
    content, answer = client.generate(given, lambda event: None)
    expected = local.generate(GenerationRequest(**given))
    assert answer["latents_sha256"] == expected.latents_sha256
    if fields["mode"] == "text2image":
        assert np.array_equal(decode_image(content), expected.frames[0])
        return
    target = io.BytesIO()
    encode_mp4(target, expected.frames, expected.fps, expected.sound, sampling_rate=expected.sampling_rate)
    assert content == target.getvalue()
    if expected.action is not None:
        assert np.array_equal(np.asarray(answer["action"]["data"], np.float32), expected.action)
        assert answer["action"]["shape"] == list(expected.action.shape)


def test_a_video_has_what_was_asked_for_and_comes_out_again_the_same(http: httpx.Client) -> None:
    form = {"prompt": "a robot", "size": "128x96", "num_frames": "10", "fps": "12", "num_inference_steps": "2"}
    form |= {"generate_sound": "true", "seed": "5"}
    first, second = (http.post("/v1/videos/sync", data=form) for _ in range(2))
    assert first.status_code == 200 and first.headers["content-type"] == "video/mp4"
    assert first.content == second.content
    clip, sound = decode_video(first.content), decode_audio(first.content)
    # Rounded up to 4k + 1.
    assert clip.frames.shape == (13, 96, 128, 3) and clip.fps == 12
    assert abs(sound.shape[1] / 48_000 - 13 / 12) < 0.05
    assert float(first.headers["x-inference-time-s"]) > 0 and float(first.headers["x-peak-memory-mb"]) > 0
    assert set(json.loads(first.headers["x-stage-durations"])) == {"encode", "denoise", "decode"}
    assert first.headers["x-model"] == "cosmos3-tiny" and first.headers["x-guardrails"] == "off"


def test_the_first_frame_is_the_image_as_the_vae_renders_it(http: httpx.Client, media: dict[str, Path]) -> None:
    form = {"prompt": "a robot", "size": "128x96", "num_frames": "5", "num_inference_steps": "2"}
    files = {"input_reference": ("x.png", media["image"].read_bytes())}
    answer = http.post("/v1/videos/sync", data=form, files=files)
    expected = first_frame_in_file("tiny:nano", media["image"], (128, 96), 24.0).astype(float)
    frames = decode_video(answer.content).frames.astype(float)
    assert np.abs(frames[0] - expected).mean() < 3 < np.abs(frames[-1] - expected).mean()


def test_a_job_goes_from_queued_to_completed_with_its_steps_in_order(http: httpx.Client) -> None:
    body = {"prompt": "a robot", "size": "128x96", "num_frames": 9, "num_inference_steps": 6, "extra_params": {}}
    created = http.post("/v1/videos", json=body)
    job = created.json()
    assert created.status_code == 200 and (job["status"], job["progress"]) == ("queued", 0)
    events = read_events(http, f"/v1/videos/{job['id']}/events")
    kinds = [kind for _, kind, _ in events if kind != "stage"]
    assert kinds == ["started", *["step"] * 6, "done"]
    steps = [data for _, kind, data in events if kind == "step"]
    assert [(step["index"], step["count"]) for step in steps] == [(n, 6) for n in range(1, 7)]
    assert all(step["seconds_left"] >= 0 for step in steps) and steps[-1]["seconds_left"] == 0
    # Previews, which nobody asked for here, have numbers too.
    numbers = [number for number, _, _ in events]
    assert numbers[0] == 1 and numbers == sorted(set(numbers))
    last = int(events[3][0])
    assert read_events(http, f"/v1/videos/{job['id']}/events", {"Last-Event-ID": str(last)}) == events[4:]
    end = {"Last-Event-ID": str(numbers[-1])}
    assert http.get(f"/v1/videos/{job['id']}/events", headers=end).status_code == 204
    beyond = http.get(f"/v1/videos/{job['id']}/events", headers={"Last-Event-ID": "9" * 30})
    assert beyond.status_code == 400
    done = http.get(f"/v1/videos/{job['id']}").json()
    assert (done["status"], done["progress"], done["file_name"]) == ("completed", 100, f"{job['id']}.mp4")
    assert (done["num_frames"], done["fps"], done["duration_s"]) == (9, 24, 9 / 24)
    content = http.get(f"/v1/videos/{job['id']}/content", headers={"Accept": "application/binary"})
    assert len(decode_video(content.content).frames) == 9
    part = http.get(f"/v1/videos/{job['id']}/content", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, content.content[:100])
    assert http.head(f"/v1/videos/{job['id']}/content").headers["content-length"] == str(len(content.content))
    assert http.delete(f"/v1/videos/{job['id']}").json() == {
        "id": job["id"],
        "object": "video.deleted",
        "deleted": True,
    }
    for path in ("", "/content", "/events"):
        assert http.get(f"/v1/videos/{job['id']}{path}").status_code == 404
    assert http.delete(f"/v1/videos/{job['id']}").status_code == 404


def read_events(
    http: httpx.Client, path: str, headers: dict[str, str] | None = None
) -> list[tuple[int, str, dict[str, Any]]]:
    with http.stream("GET", path, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        blocks = response.read().decode().replace("\r\n", "\n").strip().split("\n\n")
    events = []
    for block in blocks:
        lines = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        # What has no id is not kept: how many jobs wait before this one.
        if "id" in lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def test_several_images_differ_by_seed_and_the_first_is_the_single_one(http: httpx.Client) -> None:
    body = {"prompt": "a robot", "size": "128x96", "num_inference_steps": 2, "seed": 11}
    one = http.post("/v1/images/generations", json=body).json()
    two = http.post("/v1/images/generations", json=body | {"n": 2, "output_format": "jpeg"}).json()
    assert one["data"][0]["latents_sha256"] == two["data"][0]["latents_sha256"]
    assert two["data"][1]["latents_sha256"] != two["data"][0]["latents_sha256"]
    assert [image["seed"] for image in two["data"]] == [11, 12]
    jpeg = base64.b64decode(two["data"][0]["b64_json"])
    assert jpeg[:2] == b"\xff\xd8" and decode_image(jpeg).shape == (96, 128, 3)
    file = http.post("/v1/images/generations", json=body | {"response_format": "file"})
    assert file.headers["content-type"] == "image/png"
    assert file.content == base64.b64decode(one["data"][0]["b64_json"])


def test_the_openai_client_makes_images_and_videos(graph: RunningGraph) -> None:
    with OpenAI(base_url=f"{graph.url}/v1", api_key="EMPTY", max_retries=0) as openai:
        assert openai.models.list().data[0].id == "cosmos3-tiny"
        assert openai.models.retrieve("cosmos3-tiny").id == "cosmos3-tiny"
        image = openai.images.generate(prompt="a robot", size="128x96", extra_body={"num_inference_steps": 2})
        assert image.data and image.data[0].b64_json
        assert decode_image(base64.b64decode(image.data[0].b64_json)).shape == (96, 128, 3)


def test_openais_nested_form_is_understood(graph: RunningGraph) -> None:
    parts = {"prompt": "x", "num_frames": "5", "extra_params[guardrails]": "false", "num_inference_steps": "1"}
    parts |= {"size": "64x64", "extra_params[nonsense]": "1", "more_nonsense": "2"}
    answer = httpx.post(f"{graph.url}/v1/videos/sync", files={k: (None, v) for k, v in parts.items()}, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "more_nonsense, extra_params.nonsense"


def test_nothing_is_left_of_a_synchronous_generation(http: httpx.Client, graph: RunningGraph) -> None:
    form = {"prompt": "x", "size": "64x64", "num_frames": "5", "num_inference_steps": "1"}
    answer = http.post("/v1/videos/sync", data=form)
    job = answer.headers["x-job-id"]
    deadline = time.monotonic() + 10
    while list(graph.log.parent.rglob(f"*{job}*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(graph.log.parent.rglob(f"*{job}*"))
    assert http.get(f"/v1/videos/{job}").status_code == 404
