"""Cases at their full sizes, which need a GPU: the tiny checkpoint with its stages on one card."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image
from deployments.local.launch import RunningGraph
from examples import assets
from tests.graph.starting import started, tiny_recipe, without_chat
from tests.surface.inputs import Upload, as_parts, compact_prompt, jpeg, mp4
from tests.surface.reading import completed, sound_of, video_in

pytestmark = pytest.mark.gpu

README: dict[str, Any] = {
    "size": "1280x720",
    "num_frames": 189,
    "fps": 24,
    "num_inference_steps": 35,
    "guidance_scale": 6.0,
    "flow_shift": 10.0,
    "seed": 0,
    "extra_params": {"use_resolution_template": False, "use_duration_template": False, "guardrails": True},
}
DYNAMICS: dict[str, Any] = {
    "prompt": "drive",
    "num_frames": 61,
    "fps": 10,
    "num_inference_steps": 30,
    "guidance_scale": 1.0,
    "flow_shift": 10.0,
    "seed": 0,
}
DRIVE: dict[str, Any] = {
    "domain_name": "av",
    "action_chunk_size": 60,
    "image_size": 480,
    "view_point": "ego_view",
    "guardrails": False,
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """The tiny recipe without chat, with Encoder, Generator and Decoder on a card."""
    data = tmp_path_factory.mktemp("full-size")
    config = without_chat(tiny_recipe(data))
    _, model, decoder = config["applications"]
    on_card = {"device": "cuda", "dtype": "bfloat16"}
    model["args"]["encoder"] |= on_card
    model["args"]["generator"] |= on_card | {"rank_resources": {"CPU": 0.4, "GPU": 0.3}}
    decoder["args"] |= on_card
    for entry in (*model["deployments"], *decoder["deployments"]):
        if entry["name"] != "Generator":
            entry["ray_actor_options"]["num_gpus"] = 0.3
    with started(config, data / "log") as running:
        yield running


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=graph.url, timeout=300) as http:
        yield http


def job_of(http: httpx.Client, fields: dict[str, Any], upload: Upload) -> dict[str, Any]:
    created = http.post("/v1/videos", files=as_parts(fields, input_reference=upload))
    assert created.status_code == 200, created.text
    return completed(http, created.json()["id"])


def test_c04_the_cookbooks_image(http: httpx.Client) -> None:
    """C4 with its 35 steps."""
    fields = {"size": "1280x720", "num_inference_steps": 35, "guidance_scale": 6.0, "flow_shift": 10.0, "seed": 0}
    body = fields | {"prompt": compact_prompt("t2i_robot_draping"), "extra_args": {"guardrails": True}}
    answer = http.post("/v1/images/generations", json=body)
    assert answer.status_code == 200, answer.text
    assert decode_image(base64.b64decode(answer.json()["data"][0]["b64_json"])).shape == (720, 1280, 3)


def test_c08_c09_c41_the_readmes_video_twice(http: httpx.Client) -> None:
    """C8, C9, C41: 189 frames of 720p with sound, and the same file again."""
    prompts = {
        "prompt": compact_prompt("t2v_robot_pouring_water_audio"),
        "negative_prompt": compact_prompt("negative_text2video"),
    }
    fields = README | prompts | {"generate_sound": "true", "sound_duration": "7.875"}
    first, second = (http.post("/v1/videos/sync", files=as_parts(fields)) for _ in range(2))
    clip = video_in(first)
    assert clip.frames.shape == (189, 720, 1280, 3) and clip.fps == 24
    assert sound_of(first.content) == ("aac", 48_000, 2)
    assert first.content == second.content


def test_c10_the_size_follows_the_image(http: httpx.Client) -> None:
    """C10: the area of 720p at the aspect of the image."""
    fields = {"prompt": "a robot", "num_inference_steps": 35}
    parts = as_parts(fields, input_reference=jpeg("humanoid_robot", 900, 660))
    height, width = video_in(http.post("/v1/videos/sync", files=parts)).frames.shape[1:3]
    assert width % 16 == 0 == height % 16
    assert width / height == pytest.approx(900 / 660, rel=0.03)
    assert width * height == pytest.approx(1280 * 720, rel=0.05)


def test_c34_forward_dynamics(http: httpx.Client) -> None:
    """C34 at 832x480, the size of the cookbook's image."""
    extra = {"action_mode": "forward_dynamics", "action": assets.action("av_traj_forward").tolist()}
    fields = DYNAMICS | {"size": "832x480", "extra_params": DRIVE | extra}
    end = job_of(http, fields, jpeg("av_0", 832, 480))
    clip = decode_video(http.get(f"/v1/videos/{end['id']}/content").content)
    assert clip.frames.shape == (61, 480, 832, 3) and clip.fps == 10 and end["size"] == "832x480"


def test_c35_inverse_dynamics(http: httpx.Client) -> None:
    """C35 at 832x480."""
    extra = DRIVE | {"action_mode": "inverse_dynamics", "raw_action_dim": 9}
    file = mp4("av_0", 832, 480, frames=61, fps=10)
    action = job_of(http, DYNAMICS | {"extra_params": extra}, file)["action"]
    assert np.asarray(action["data"]).shape == (60, 9) and action["shape"] == [60, 9]
