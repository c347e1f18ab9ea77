"""Transfer, in every form in which clients send controls; each form of the same control gives the same latents."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.surface.inputs import TINY, as_parts, compact_prompt, jpeg, mp4, without
from tests.surface.reading import completed, error_of, video_in

SYNC = "/v1/videos/sync"
DEPTH = mp4("av_0", 64, 64, frames=5, fps=10)
OTHER = mp4("av_0", 64, 64, frames=5, fps=10, start=30)
DEPTH_64 = base64.b64encode(DEPTH[1]).decode()
OTHER_64 = base64.b64encode(OTHER[1]).decode()
CLIP = without(TINY, "num_frames")


def latents(http: httpx.Client, fields: dict[str, Any], **uploads: Any) -> str:
    """The hashes of the latents of a transfer of five frames."""
    answer = http.post(SYNC, files=as_parts(CLIP | fields, **uploads))
    clip = video_in(answer)
    assert clip.frames.shape == (5, 64, 64, 3) and clip.fps == 10
    return answer.headers["x-latents-sha256"]


def test_c38_depth_by_upload(http: httpx.Client, graph_data: Path) -> None:
    """C38, by both routes; nothing of the upload is left afterwards."""

    def left() -> set[Path]:
        return {path for path in (graph_data / "media" / "inputs").rglob("*control*") if path.is_file()}

    before = left()
    by_upload = latents(http, {"control_type": "depth"}, control_reference=DEPTH)
    created = http.post("/v1/videos", files=as_parts(CLIP | {"control_type": "depth"}, control_reference=DEPTH))
    assert created.status_code == 200 and "x-ignored-fields" not in created.headers
    end = completed(http, created.json()["id"])
    assert (end["num_frames"], end["fps"]) == (5, 10)
    manifest = http.get(f"/v1/videos/{end['id']}/manifest").json()
    assert (manifest["mode"], set(manifest["media"])) == ("transfer", {"control_depth"})
    assert end["latents_sha256"]["vision"] in by_upload
    deadline = time.monotonic() + 10
    while left() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left() <= before


def test_one_control_in_every_form(http: httpx.Client) -> None:
    """vLLM-Omni's names and NIM's, as uploads, data URIs and base64; with another control the latents differ."""
    forms: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"depth": DEPTH}),
        ({"extra_params": {"depth": {"control": DEPTH_64}}}, {}),
        ({"transfer": {"depth": {"video": f"data:video/mp4;base64,{DEPTH_64}", "control_weight": 2}}}, {}),
    ]
    assert len({latents(http, fields, **uploads) for fields, uploads in forms}) == 1
    assert latents(http, {}, depth=OTHER) != latents(http, {}, depth=DEPTH)


def test_two_controls_with_weights(http: httpx.Client) -> None:
    """The weights' ratio decides, and a control of weight 0 changes nothing."""

    def with_weights(depth: float, seg: float) -> str:
        extra = {"depth": {"control_weight": depth}, "seg": {"control": OTHER_64, "control_weight": seg}}
        return latents(http, {"extra_params": extra | {"control_guidance": 1.5}}, depth=DEPTH)

    assert with_weights(1, 1) == with_weights(3, 3) != with_weights(1, 3)
    assert with_weights(1, 0) == latents(http, {"control_guidance": 1.5}, depth=DEPTH)


def test_controls_computed_from_a_video(http: httpx.Client) -> None:
    """Edge and blur come from the reference video; a preset decides how much they simplify it."""
    weak = {"edge": {"preset_edge_threshold": "very_low"}}
    found = [latents(http, {"extra_params": extra}, input_reference=DEPTH) for extra in ({"edge": True}, weak)]
    found.append(latents(http, {"transfer": {"edge": True}}, video=DEPTH))
    found.append(latents(http, {"blur": "true"}, video_reference=DEPTH))
    assert found[0] == found[2] and len(set(found)) == 3


def test_a_long_transfer_is_made_in_parts(http: httpx.Client) -> None:
    """Nine frames in parts of five, which overlap by one."""
    long = mp4("av_0", 64, 64, frames=9, fps=10)
    extra = {"num_video_frames_per_chunk": 5, "num_conditional_frames": 1}
    clip = video_in(http.post(SYNC, files=as_parts(CLIP | {"extra_params": extra}, depth=long)))
    assert clip.frames.shape == (9, 64, 64, 3) and clip.fps == 10


def test_a12_the_cookbooks_transfer(http: httpx.Client) -> None:
    """A12 at 128x80 with 13 of 121 frames: the control's own rate and length, and the recipe's numbers."""
    extra: dict[str, Any] = {"edge": {"control": base64.b64encode(mp4("av_0", 128, 80, frames=13, fps=30)[1]).decode()}}
    extra |= {"control_guidance": 1.5, "num_video_frames_per_chunk": 13, "max_frames": 13, "resolution": "720"}
    extra |= {"show_control_condition": False, "show_input": False}
    fields: dict[str, Any] = {
        "prompt": compact_prompt("t2v_robot_kitchen"),
        "size": "128x80",
        "num_frames": 13,
        "fps": 30,
        "seed": 0,
    }
    fields |= {"num_inference_steps": 2, "guidance_scale": 3.0, "extra_params": extra}
    answer = http.post(SYNC, files=as_parts(fields), headers={"Accept": "video/mp4"})
    clip = video_in(answer)
    assert clip.frames.shape == (13, 80, 128, 3) and clip.fps == 30


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an image": ({"depth": {"control": DEPTH_64}}, {"input_reference": jpeg("av_0", 64, 64)}, "input_reference"),
    "sound": ({"depth": {"control": DEPTH_64}, "generate_sound": True}, {}, "generate_sound"),
    "a soundtrack": ({"depth": {"control": DEPTH_64}}, {"audio_reference": DEPTH}, "audio_reference"),
    "actions": ({"depth": {"control": DEPTH_64}, "domain_name": "av"}, {}, "domain_name"),
    "a policy": (
        {"action_mode": "policy", "domain_name": "av", "raw_action_dim": 9, "edge": {"control": DEPTH_64}},
        {"input_reference": jpeg("av_0", 64, 64)},
        "edge",
    ),
    "no control": ({"mode": "transfer"}, {}, "mode"),
    "options alone": ({"control_guidance": 2.0}, {}, "control_guidance"),
    "nothing to compute it from": ({"edge": True}, {}, "edge.control"),
    "a path": ({"depth": {"control_path": "/etc/passwd"}}, {}, "depth.control_path"),
    "an unknown key": ({"depth": {"control": DEPTH_64, "strength": 1}}, {}, "depth"),
    "two videos": (
        {"control_type": "depth", "depth": {"control": DEPTH_64}},
        {"control_reference": DEPTH},
        "control_reference",
    ),
    "a preset and a video": (
        {"transfer": {"edge": {"video": DEPTH_64, "preset_edge_threshold": "low"}}},
        {},
        "transfer.edge.preset_edge_threshold",
    ),
    "no video": ({"depth": {"control": base64.b64encode(b"nothing").decode()}}, {}, "depth.control"),
    "the controls shown": (
        {"depth": {"control": DEPTH_64}, "show_control_condition": True},
        {},
        "show_control_condition",
    ),
}


@pytest.mark.parametrize("route", ["/v1/videos", SYNC])
@pytest.mark.parametrize("name", WRONG)
def test_what_transfer_cannot_be_combined_with(name: str, route: str, http: httpx.Client) -> None:
    """C37, C31 and sections 4.2 and 4.3: refused before any stage gets the request, by the client's own names."""
    extra, uploads, param = WRONG[name]
    error = error_of(http.post(route, files=as_parts(CLIP | {"extra_params": extra}, **uploads)), 400)
    assert error["param"] == param and "passwd" not in error["message"]
