"""Chat requests become messages of text and images: every kind of part that vLLM takes, and nothing else."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from cosmos3_core.media.stills import encode_image
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.chat_request import read_chat

URI = "data:image/png;base64," + base64.b64encode(encode_image(np.zeros((8, 8, 3), np.uint8), "png")).decode()
TEXT = {"type": "text", "text": "x"}
IMAGE = {"type": "image_url", "image_url": {"url": URI}}


def content_of(*parts: Any) -> Any:
    return read_chat({"messages": [{"role": "user", "content": list(parts)}]})["messages"][0]["content"]


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ("x", TEXT),
        (TEXT | {"text_bytes": 3}, TEXT),
        ({"text": "x"}, TEXT),
        ({"type": "input_text", "text": "x"}, TEXT),
        ({"type": "output_text", "text": "x"}, TEXT),
        ({"type": "thinking", "thinking": "x"}, TEXT),
        ({"type": "refusal", "refusal": "x"}, TEXT),
        ({"type": "image_url", "image_url": {"url": URI, "detail": "low"}}, IMAGE),
        ({"type": "image_url", "image_url": URI}, IMAGE),
        ({"image_url": {"url": URI}}, IMAGE),
        ({"type": "input_image", "image_url": URI, "detail": "auto"}, IMAGE),
    ],
)
def test_a_part_becomes_text_or_an_image(part: Any, read: dict[str, Any]) -> None:
    assert content_of(part) == [read]


@pytest.mark.parametrize("kind", ["text", "input_text", "thinking", "refusal"])
def test_a_part_without_text_is_left_out_as_in_vllm(kind: str) -> None:
    key = kind if kind in ("thinking", "refusal") else "text"
    assert content_of({"type": kind, key: None}, "x") == [TEXT]


@pytest.mark.parametrize("message", [{"content": "x"}, {"role": 3, "content": "x"}, {"role": None}])
def test_a_message_without_a_role_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="expected system, user, assistant or tool") as refused:
        read_chat({"messages": [message]})
    assert refused.value.param == "messages.0.role"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (3, "messages.0.content.0"),
        ({"type": "text"}, "messages.0.content.0"),
        ({"type": "thinking", "text": "x"}, "messages.0.content.0"),
        ({"type": "audio_url", "audio_url": {"url": URI}}, "messages.0.content.0"),
        ({"type": ["text"], "text": "x"}, "messages.0.content.0"),
        ({"type": "text", "text": {"a": 1}}, "messages.0.content.0.text"),
        ({"type": "refusal", "refusal": 3}, "messages.0.content.0.refusal"),
        ({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, "messages.0.content.0.image_url"),
        ({"type": "input_image", "image_url": None}, "messages.0.content.0.image_url"),
        ({"type": "image_embeds", "image_embeds": "eA=="}, "messages.0.content.0"),
    ],
)
def test_a_part_that_is_refused(part: Any, field: str) -> None:
    with pytest.raises(ApiError) as refused:
        content_of(part)
    assert (refused.value.status, refused.value.param) == (400, field)
