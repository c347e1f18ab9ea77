"""The fields of the video routes: both routes refuse wrong values by the client's own name of the field."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.stills import encode_image
from tests.surface.inputs import TINY, as_parts, jpeg, mp4, without
from tests.surface.reading import error_of, video_in

ROUTES = ("/v1/videos", "/v1/videos/sync")
IMAGE = jpeg("humanoid_robot", 64, 64)
VIDEO = mp4("av_0", 64, 64, frames=5, fps=10)
IMAGE_URI = f"data:image/jpeg;base64,{base64.b64encode(IMAGE[1]).decode()}"
OUT_OF_RANGE: dict[str, Any] = {
    "size": "abc",
    "fps": "0",
    "num_inference_steps": "500",
    "seed": "9223372036854775808",
    "sound_duration": "0",
}


@pytest.mark.parametrize("route", ROUTES)
def test_c23_extra_params_that_are_not_json(route: str, http: httpx.Client) -> None:
    """C23: `extra_params` is truncated, as curl does at a semicolon."""
    error = error_of(http.post(route, files=as_parts(TINY | {"extra_params": "{bad"})), 400)
    assert error["param"] == "extra_params" and "Invalid JSON in form field" in error["message"]


@pytest.mark.parametrize("route", ROUTES)
def test_c24_extra_params_that_are_not_an_object(route: str, http: httpx.Client) -> None:
    """C24: `extra_params` is a list; the message says what was expected and what was sent."""
    error = error_of(http.post(route, files=as_parts(TINY | {"extra_params": "[1]"})), 400)
    assert error["param"] == "extra_params"
    assert "expected an object" in error["message"] and "got a list" in error["message"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("where", ["a form", "JSON", "extra_params"])
@pytest.mark.parametrize("field", OUT_OF_RANGE)
def test_c25_values_out_of_range(field: str, where: str, route: str, http: httpx.Client) -> None:
    """C25: each is refused by its name, in whatever place it is sent."""
    wrong = {field: OUT_OF_RANGE[field]}
    fields = TINY | {"generate_sound": "true"}
    if where == "extra_params":
        answer = http.post(route, files=as_parts(without(fields, field) | {"extra_params": wrong}))
    elif where == "JSON":
        answer = http.post(route, json=fields | wrong)
    else:
        answer = http.post(route, files=as_parts(fields | wrong))
    assert error_of(answer, 400)["param"] == field


@pytest.mark.parametrize("route", [*ROUTES, "/v1/images/generations"])
@pytest.mark.parametrize("prompt", [{}, {"prompt": ""}], ids=["missing", "empty"])
def test_c26_no_prompt(prompt: dict[str, str], route: str, http: httpx.Client) -> None:
    """C26: a prompt that is missing or empty, in JSON and in forms."""
    body = {"size": "64x64", "num_inference_steps": 1, **prompt}
    assert error_of(http.post(route, json=body), 400)["param"] == "prompt"
    if route in ROUTES:
        assert error_of(http.post(route, files=as_parts(body)), 400)["param"] == "prompt"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("second", [{"image_url": IMAGE_URI}, [{"image_url": IMAGE_URI}]], ids=["object", "list"])
def test_c27_two_references(second: Any, route: str, http: httpx.Client) -> None:
    """C27: an upload and a data URI; either alone is fine (C10, C29)."""
    parts = as_parts(TINY | {"image_reference": second}, input_reference=IMAGE)
    error = error_of(http.post(route, files=parts), 400)
    assert error["param"] == "image_reference" and "input_reference" in error["message"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", [None, "pose"])
def test_c28_control_videos(kind: str | None, route: str, http: httpx.Client) -> None:
    """C28: `control_reference` with no type, and with a wrong one; with a right one it is C38, in test_transfer.py."""
    fields = TINY if kind is None else TINY | {"control_type": kind}
    error = error_of(http.post(route, files=as_parts(fields, control_reference=VIDEO)), 400)
    assert error["param"] == "control_type"
    assert all(name in error["message"] for name in ("edge", "blur", "depth", "seg", "wsm"))


@pytest.mark.parametrize("route", ROUTES)
def test_c28_a_type_without_a_control(route: str, http: httpx.Client) -> None:
    """C28: the other half is missing."""
    error = error_of(http.post(route, files=as_parts(TINY | {"control_type": "depth"})), 400)
    assert error["param"] == "control_reference"


def test_c29_two_mebibytes_in_a_text_field(http: httpx.Client) -> None:
    """C29: a data URI larger than Starlette's default limit for a field."""
    noise = np.random.default_rng(0).integers(0, 256, (800, 960, 3), np.uint8)
    uri = f"data:image/png;base64,{base64.b64encode(encode_image(noise, 'png')).decode()}"
    assert len(uri) > 2 * 2**20
    for value in (uri, {"image_url": uri}):
        clip = video_in(http.post("/v1/videos/sync", files=as_parts(TINY | {"image_reference": value})))
        assert clip.frames.shape == (5, 64, 64, 3)
