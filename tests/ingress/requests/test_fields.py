"""The tables of fields: aliases, fields without effect, and fields that are refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cosmos3_core.media.stills import encode_image
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.generation import read_image
from deployments.ingress.requests.references import PIXEL
from tests.ingress.requests.reading import refused, refused_image, video
from tests.parity.cases import picture


@pytest.mark.parametrize("name", ["guardrails", "use_guardrails", "enable_safety_checker"])
@pytest.mark.parametrize(("sent", "value"), [("false", False), (True, True), (0, False)])
def test_guardrails(name: str, sent: Any, value: bool) -> None:
    assert video({"extra_params": {name: sent}}).guardrails is value
    assert read_image({"prompt": "a robot", "extra_args": {name: sent}}).guardrails is value


def test_messages_that_clients_know() -> None:
    assert "Invalid JSON in form field" in refused({"extra_params": "{bad"}).message
    assert "expected an object, got a list" in refused({"extra_params": "[1]"}).message
    assert "edge, blur, depth, seg, wsm" in refused({"control_type": "pose"}).message
    assert "<path>" not in refused_image(action_mode="policy").body("id")["error"]["message"]
    assert len(refused({"prompt": "x" * 200_000}).message) < 200


@pytest.mark.parametrize("name", ["source_video", "mask_image", "control_path"])
def test_refused_uploads(name: str) -> None:
    assert refused({}, **{name: b"x"}).param == name


@pytest.mark.parametrize("name", sorted(tables.COSMETIC))
def test_cosmetic_fields_are_silent(name: str) -> None:
    assert video({name: "anything"}).ignored == ()


@pytest.mark.parametrize("value", [None, "", False, "false", "none", "{}", [], {}, 0, "0"])
@pytest.mark.parametrize("name", ["lora", "control_weight", "show_input", "enable_frame_interpolation", "mask_image"])
def test_refused_fields_that_are_switched_off(name: str, value: Any) -> None:
    assert video({name: value, "extra_params": {name: value}}).ignored == ()


def test_values_of_other_servers() -> None:
    assert [video({"quality": word}).quality for word in ("auto", "High", "lossless")] == [
        "standard",
        "high",
        "lossless",
    ]
    assert video({"quality": "auto", "n": 1, "num_outputs_per_prompt": "1", "user": "me"}).ignored == ()


def test_the_example_image_is_a_png() -> None:
    assert encode_image(picture(1, 1, seed=0), "png")[:4] == base64.b64decode(PIXEL.partition(",")[2])[:4]
