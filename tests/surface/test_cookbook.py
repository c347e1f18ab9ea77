"""The requests that NVIDIA's cookbooks send (spec/http_api.md, appendix A), with fewer steps and smaller frames.

The inputs are NVIDIA's own if COSMOS3_ASSETS names their folder. The shared graph runs with guardrails off; some of the
requests ask for them, and the answers say that nothing was checked.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image, encode_image
from examples import assets
from tests.graph.events import submitted
from tests.surface.inputs import TOO_LARGE, Upload, as_parts, compact_prompt, jpeg, mp4
from tests.surface.reading import sound_of, video_in

POLL_S = 0.1
VIDEO: dict[str, Any] = {
    "size": "128x80",
    "num_frames": 29,
    "fps": 24,
    "num_inference_steps": 2,
    "guidance_scale": 6.0,
    "flow_shift": 10.0,
    "seed": 0,
    "extra_params": {"use_resolution_template": False, "use_duration_template": False, "guardrails": True},
}
SOUND = {"generate_sound": "true", "sound_duration": "1.208"}
DYNAMICS: dict[str, Any] = {
    "num_frames": 17,
    "fps": 10,
    "num_inference_steps": 2,
    "guidance_scale": 1.0,
    "flow_shift": 10.0,
    "seed": 0,
}


class GenerationFailed(Exception):
    """The exception that the notebooks raise."""


def sync(http: httpx.Client, fields: dict[str, Any], **uploads: Upload) -> httpx.Response:
    """Post a form as the notebooks do, with numbers as text, and get an MP4."""
    answer = http.post("/v1/videos/sync", files=as_parts(fields, **uploads), headers={"Accept": "video/mp4"})
    answer.raise_for_status()
    return answer


def generated(http: httpx.Client, fields: dict[str, Any], upload: Upload) -> dict[str, Any]:
    """Make a job and poll until it is completed."""
    created = http.post("/v1/videos", files=as_parts(fields, input_reference=upload))
    created.raise_for_status()
    assert "x-ignored-fields" not in created.headers
    return awaited(http, created.json()["id"])


def awaited(http: httpx.Client, job: str) -> dict[str, Any]:
    """A11, the loop of the notebooks: every answer must be a success, and `failed` and `cancelled` are errors."""
    while True:
        answer = http.get(f"/v1/videos/{job}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        if found["status"] == "completed":
            return found
        if found["status"] in ("failed", "cancelled"):
            raise GenerationFailed(found["error"]["message"])
        assert 0 <= found["progress"] <= 100
        time.sleep(POLL_S)


def content(http: httpx.Client, job: dict[str, Any]) -> bytes:
    """The file of a job."""
    return http.get(f"/v1/videos/{job['id']}/content").raise_for_status().content


def test_a01_text_to_image(http: httpx.Client) -> None:
    """A1 at 256x144."""
    fields = {"size": "256x144", "n": 1, "num_inference_steps": 2, "guidance_scale": 6.0, "flow_shift": 10.0, "seed": 0}
    extra = {"use_resolution_template": False, "guardrails": True}
    prompt = compact_prompt("t2i_robot_draping")
    answer = http.post("/v1/images/generations", json={"prompt": prompt, **fields, "extra_args": extra})
    answer.raise_for_status()
    assert "x-ignored-fields" not in answer.headers
    assert decode_image(base64.b64decode(answer.json()["data"][0]["b64_json"])).shape == (144, 256, 3)


@pytest.mark.parametrize("sound", [{}, SOUND], ids=["silent", "with sound"])
@pytest.mark.parametrize("first", [None, "humanoid_robot"], ids=["of text", "of an image"])
def test_a02_a03_a04_videos(first: str | None, sound: dict[str, str], http: httpx.Client) -> None:
    """A2 and A3, and A4 with and without sound, at 128x80 with 29 frames."""
    captions = ("i2v_humanoid_robot", "negative_image2video") if first else ("t2v_robot_kitchen", "negative_text2video")
    prompts = {"prompt": compact_prompt(captions[0]), "negative_prompt": compact_prompt(captions[1])}
    uploads = {"input_reference": jpeg(first, 320, 192)} if first else {}
    answer = sync(http, VIDEO | prompts | sound, **uploads)
    clip = video_in(answer)
    assert clip.frames.shape == (29, 80, 128, 3) and clip.fps == 24
    assert answer.headers["x-guardrails"] == "off"
    if sound:
        assert sound_of(answer.content) == ("aac", 48_000, 2)


def test_a05_video_to_video(http: httpx.Client) -> None:
    """A5 at 128x80 with 21 frames; the prompts are plain text."""
    extra = {"condition_frame_indexes_vision": [0, 1], "condition_video_keep": "first", "guardrails": True}
    fields = VIDEO | {"num_frames": 21, "fps": 10, "seed": 2222, "extra_params": VIDEO["extra_params"] | extra}
    prompts = {"prompt": "The car drives on along the road.", "negative_prompt": "blurry, shaky"}
    clip = video_in(sync(http, fields | prompts, input_reference=mp4("av_0", 160, 96, frames=17, fps=10)))
    assert clip.frames.shape == (21, 80, 128, 3) and clip.fps == 10


def test_a06_driving_in_three_directions(http: httpx.Client) -> None:
    """A6 at 160x96 with 16 of 60 actions; the asset has one of three trajectories, the others are shifted copies."""
    rows = assets.action("av_traj_forward")[:16]
    shift = np.zeros_like(rows)
    shift[:, 0] = 0.5
    hashes = {}
    for name, action in {"forward": rows, "left": rows - shift, "right": rows + shift}.items():
        extra = {"action_mode": "forward_dynamics", "domain_name": "av", "action_chunk_size": 16, "image_size": 256}
        extra |= {"view_point": "ego_view", "action": action.tolist(), "guardrails": False}
        fields = DYNAMICS | {"prompt": f"drive {name}", "size": "160x96", "extra_params": extra}
        job = generated(http, fields, jpeg("av_0", 160, 96))
        clip = decode_video(content(http, job))
        assert clip.frames.shape == (17, 96, 160, 3) and clip.fps == 10
        assert job["action"] is None
        hashes[name] = job["latents_sha256"]["vision"]
    assert len(set(hashes.values())) == 3


@pytest.mark.parametrize(
    ("domain", "fps", "size", "image", "view_point"),
    [
        ("droid_lerobot", 10, (160, 96), "robot_153", "concat_view"),
        ("umi", 20, (128, 128), "umi", "ego_view"),
    ],
    ids=["a07 droid", "a08 umi"],
)
def test_a07_a08_chunk_after_chunk(
    domain: str, fps: int, size: tuple[int, int], image: str, view_point: str, http: httpx.Client
) -> None:
    """A7 at 160x96, A8 at half its size: the last frame of each video, with index 16, is the first of the next one.

    Both use the actions of A8, which have the same width as those of A7.
    """
    rows, (width, height) = assets.action("umi"), size
    assert rows.shape == (32, 10)
    upload = jpeg(image, width, height)
    for chunk in range(2):
        extra = {"action_mode": "forward_dynamics", "domain_name": domain, "action_chunk_size": 16, "image_size": 256}
        extra |= {"view_point": view_point, "guardrails": False, "action": rows[16 * chunk :][:16].tolist()}
        fields = DYNAMICS | {"prompt": "move on", "fps": fps, "size": f"{width}x{height}", "seed": chunk}
        clip = decode_video(content(http, generated(http, fields | {"extra_params": extra}, upload)))
        assert clip.frames.shape == (17, height, width, 3) and clip.fps == fps
        upload = ("chunk.png", encode_image(clip.frames[16], "png"), "image/png")


@pytest.mark.parametrize("start", [0, 30])
def test_a09_actions_of_a_drive(start: int, http: httpx.Client) -> None:
    """A9 at a tier of 256 with 8 of 60 actions, for two parts of a drive; no size, and the content is not fetched."""
    extra = {"action_mode": "inverse_dynamics", "domain_name": "av", "action_chunk_size": 8, "image_size": 256}
    extra |= {"view_point": "ego_view", "raw_action_dim": 9, "guardrails": False}
    fields = DYNAMICS | {"prompt": "drive", "num_frames": 9, "extra_params": extra}
    job = generated(http, fields, mp4("av_0", 320, 192, frames=9, fps=10, start=start))
    data = np.asarray(job["action"]["data"])
    assert data.shape == (8, 9) and np.isfinite(data).all()


def test_a10_readiness(http: httpx.Client) -> None:
    """A10: the models are listed, as JSON, once the server is ready."""
    answer = http.get("/v1/models").raise_for_status()
    assert answer.json()["data"]


def test_a11_polling_a_failed_job(http: httpx.Client) -> None:
    """A11: a failed job reaches the notebooks' own branch for it, because the answer has status 200."""
    with pytest.raises(GenerationFailed, match="resident_bytes"):
        awaited(http, submitted(http, TOO_LARGE))
