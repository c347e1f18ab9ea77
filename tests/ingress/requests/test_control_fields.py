"""The fields of one control, and NIM's object of all of them: their forms, and values that are refused by name."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cosmos3_core.controls import ControlKind, Strength
from deployments.ingress.requests.coercions import InnerError
from deployments.ingress.requests.control_fields import Hint, read_hint, read_transfer
from deployments.ingress.requests.form import Upload
from deployments.wire.control_names import PRESETS
from tests.ingress.requests.reading import PNG, uri

BASE64 = base64.b64encode(PNG).decode()
each_kind = pytest.mark.parametrize("kind", ControlKind)


def inner(read: Any, *given: Any) -> tuple[str, str]:
    """The path to a wrong value, and what is wrong with it."""
    with pytest.raises(ValueError) as caught:
        read(*given)
    return caught.value.path if isinstance(caught.value, InnerError) else "", str(caught.value)


@each_kind
@pytest.mark.parametrize("value", [True, "true", 1, "yes", {}, "{}", {"control": None, "control_path": ""}])
def test_a_control_without_a_video(kind: ControlKind, value: Any) -> None:
    assert read_hint(kind, value) == (Hint(kind),)


@each_kind
@pytest.mark.parametrize("value", [False, "false", 0, "off", "none", "null"])
def test_a_control_that_is_switched_off(kind: ControlKind, value: Any) -> None:
    assert read_hint(kind, value) == ()


@pytest.mark.parametrize("key", ["control", "video"])
@pytest.mark.parametrize("value", [BASE64, uri(PNG), {"image_url": uri(PNG)}, [uri(PNG)], uri(PNG, "video/mp4")])
def test_a_video_inside_the_object(key: str, value: Any) -> None:
    for sent in ({key: value}, json.dumps({key: value})):
        assert read_hint(ControlKind.SEG, sent) == (Hint(ControlKind.SEG, {"video": PNG}, {"video": key}),)


@pytest.mark.parametrize("value", [Upload("a.mp4", PNG), [Upload("a.mp4", PNG)], uri(PNG), [uri(PNG)]])
def test_a_video_as_the_field(value: Any) -> None:
    assert read_hint(ControlKind.WSM, value) == (Hint(ControlKind.WSM, {"video": PNG}),)


@pytest.mark.parametrize(("kind", "key"), PRESETS.items())
def test_weight_and_strength(kind: ControlKind, key: str) -> None:
    (found,) = read_hint(kind, {"control_weight": "0.5", key: "Very_High"})
    assert found.values == {"weight": 0.5, "strength": Strength.VERY_HIGH}
    assert found.keys == {"weight": "control_weight", "strength": key}


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ("/etc/passwd", "", "file or an address"),
        ("https://example.com/edge.mp4", "", "file or an address"),
        (3, "", "expected an object"),
        ("{bad", "", "Invalid JSON in form field"),
        ({"control_path": "/etc/passwd"}, "control_path", "file or an address"),
        ({"control_wieght": 1}, "", "expected control or video or control_weight or preset_edge_threshold"),
        ({"preset_blur_strength": "low"}, "", "expected control or video"),
        ({"preset_edge_threshold": "extreme"}, "preset_edge_threshold", "very_high"),
        ({"control_weight": "much"}, "control_weight", "number"),
        ({"control": "http://169.254.169.254/"}, "control", "not fetched"),
        ({"control": "/etc/edge.mp4"}, "control", "not valid base64"),
        ({"control": 3}, "control", "a number"),
        ({"control": uri(PNG, "audio/wav")}, "control", "holds a sound; expected an image or a video"),
        ({"control": BASE64, "video": BASE64}, "video", "another name of control"),
        ({"control": BASE64, "control_path": "/x/y"}, "control_path", "file or an address"),
        ([uri(PNG), uri(PNG)], "", "holds 2"),
        (Upload("x", b""), "", "empty"),
    ],
)
def test_refusals_of_a_control(value: Any, path: str, says: str) -> None:
    found = inner(read_hint, ControlKind.EDGE, value)
    assert found[0] == path and says in found[1] and "passwd" not in found[1]
    where = inner(read_transfer, {"edge": value})
    assert where == (f"edge.{path}" if path else "edge", found[1])


def test_the_object_of_nim() -> None:
    sent = {
        "edge": True,
        "depth": {"video": BASE64, "control_weight": 0.5},
        "blur": None,
        "seg": False,
        "control_guidance": "2.5",
        "show_input": False,
        "share_vision_temporal_positions": "off",
    }
    found = read_transfer(json.dumps(sent))
    assert found == read_transfer(sent)
    depth = Hint(ControlKind.DEPTH, {"video": PNG, "weight": 0.5}, {"video": "video", "weight": "control_weight"})
    assert found.pop("edge") == (Hint(ControlKind.EDGE),) and found.pop("depth") == (depth,)
    assert found == {"seg": (), "control_guidance": 2.5, "share_vision_temporal_positions": False}


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ([1], "", "expected an object, got a list"),
        ("{bad", "", "Invalid JSON in form field"),
        ({"pose": True}, "", "expected edge, blur, depth, seg, wsm, control_guidance"),
        ({"show_input": True}, "show_input", "not served"),
        ({"max_frames": "many"}, "max_frames", "whole number"),
    ],
)
def test_refusals_of_the_object_of_nim(value: Any, path: str, says: str) -> None:
    found = inner(read_transfer, value)
    assert found[0] == path and says in found[1]
