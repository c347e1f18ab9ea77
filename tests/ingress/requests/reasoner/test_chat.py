"""Chat requests become messages of text, images and videos: every kind of part that vLLM takes, and nothing else."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest

from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.wire.chat_media import MAX_IMAGES, MAX_VIDEOS
from deployments.wire.visual_input import VisualKind


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def clip() -> bytes:
    target = io.BytesIO()
    encode_mp4(target, [np.full((32, 48, 3), 40 * number, np.uint8) for number in range(4)], 4.0)
    return target.getvalue()


PICTURE = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
URI = data_uri(PICTURE, "image/png")
CLIP = data_uri(clip(), "video/mp4")
TEXT = {"type": "text", "text": "x"}


def content_of(*parts: Any) -> Any:
    return read_chat({"messages": [{"role": "user", "content": list(parts)}]}).body["messages"][0]["content"]


@pytest.mark.parametrize(
    "part",
    [
        "x",
        TEXT | {"text_bytes": 3},
        {"text": "x"},
        {"type": "input_text", "text": "x"},
        {"type": "output_text", "text": "x"},
        {"type": "thinking", "thinking": "x"},
        {"type": "refusal", "refusal": "x"},
    ],
)
def test_a_part_becomes_text(part: Any) -> None:
    assert content_of(part) == [TEXT]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": URI, "detail": "low"}}, VisualKind.IMAGE),
        ({"type": "image_url", "image_url": URI}, VisualKind.IMAGE),
        ({"image_url": {"url": URI}}, VisualKind.IMAGE),
        ({"type": "input_image", "image_url": URI, "detail": "auto"}, VisualKind.IMAGE),
        ({"type": "video_url", "video_url": {"url": CLIP}}, VisualKind.VIDEO),
        ({"video_url": CLIP}, VisualKind.VIDEO),
        ({"type": "video_url", "video_url": data_uri(PICTURE, "video/jpeg")}, VisualKind.FRAMES),
    ],
)
def test_a_part_becomes_a_medium_that_the_body_names(part: Any, kind: VisualKind) -> None:
    request = read_chat({"messages": [{"role": "user", "content": [TEXT, part]}]})
    (medium,) = request.media
    key = "image_url" if kind is VisualKind.IMAGE else "video_url"
    assert (medium.visual.kind, medium.field) == (kind, f"messages.0.content.1.{key}")
    # The engine sees neither the data nor anything else that the client wrote into the part.
    assert request.body["messages"][0]["content"][1] == {"type": key, key: {"url": medium.name}}


def test_media_keep_their_order_over_messages() -> None:
    image, video = ({"type": f"{kind}_url", f"{kind}_url": url} for kind, url in (("image", URI), ("video", CLIP)))
    messages = [{"role": "user", "content": parts} for parts in ([image, video], [video, TEXT, image])]
    media = read_chat({"messages": messages}).media
    assert [medium.field.rpartition(".")[2] for medium in media] == ["image_url", "video_url", "video_url", "image_url"]
    assert len({medium.name for medium in media}) == 4


def test_all_media_are_read_as_the_request_says() -> None:
    body = {
        "messages": [{"role": "user", "content": [{"video_url": CLIP}, {"image_url": URI}]}],
        "mm_processor_kwargs": {"fps": 4, "size": {"longest_edge": 4096}},
    }
    request = read_chat(body)
    assert {medium.visual.reading.most_pixels for medium in request.media} == {4096}
    assert request.media[0].visual.reading.sampling.fps == 4
    assert "mm_processor_kwargs" not in request.body


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
        ({"type": "image_url", "image_url": data_uri(b"no image", "image/png")}, "messages.0.content.0.image_url"),
        ({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}, "messages.0.content.0.video_url"),
        ({"type": "video_url", "video_url": data_uri(b"no video", "video/mp4")}, "messages.0.content.0.video_url"),
        ({"type": "video_url", "video_url": data_uri(b"no frame", "video/jpeg")}, "messages.0.content.0.video_url"),
        ({"type": "image_embeds", "image_embeds": "eA=="}, "messages.0.content.0"),
        ({"type": "video_embeds", "video_embeds": "eA=="}, "messages.0.content.0"),
    ],
)
def test_a_part_that_is_refused(part: Any, field: str) -> None:
    with pytest.raises(ApiError) as refused:
        content_of(part)
    assert (refused.value.status, refused.value.param) == (400, field)


@pytest.mark.parametrize(
    ("part", "most", "word"), [({"image_url": URI}, MAX_IMAGES, "images"), ({"video_url": CLIP}, MAX_VIDEOS, "videos")]
)
def test_too_many_media(part: dict[str, Any], most: int, word: str) -> None:
    assert len(content_of(*[part] * most)) == most
    with pytest.raises(ApiError, match=f"the {most} {word} that a request may have"):
        content_of(*[part] * (most + 1))


def test_too_many_frames_are_refused_before_they_are_read() -> None:
    url = "data:video/jpeg;base64," + "," * 100_000
    with pytest.raises(ApiError, match="more than 768 frames"):
        content_of({"video_url": url})
