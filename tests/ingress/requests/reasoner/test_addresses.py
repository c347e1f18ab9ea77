"""Where requests to the Reasoner may name media by their address, and how the files take their places."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos3_core.media.stills import encode_image
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.addresses import in_chat, in_responses
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.responses import read_responses
from deployments.wire.visual_input import VisualKind
from tests.parity.cases import picture

URL = "https://example.com/a.png"
PNG = encode_image(picture(32, 48, seed=1), "png")
TEXT = {"type": "text", "text": URL}


def chat(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": URL}, {"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize("address", [URL, "HTTP://[::1]/", "file:///a.png"])
@pytest.mark.parametrize(
    ("wrap", "kind"),
    [
        (lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}, "image"),
        (lambda url: {"type": "image_url", "image_url": url}, "image"),
        (lambda url: {"image_url": url}, "image"),
        (lambda url: {"type": "input_image", "image_url": url}, "image"),
        (lambda url: {"type": "video_url", "video_url": {"url": url}}, "video"),
        (lambda url: {"video_url": url}, "video"),
    ],
)
def test_the_address_of_a_part(wrap: Any, kind: str, address: str) -> None:
    (medium,) = in_chat(chat(TEXT, wrap(address)))
    assert (medium.address, medium.kind) == (address, kind)
    assert medium.field == f"messages.1.content.1.{kind}_url"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": URL},
        {"messages": [URL, None, {"content": {"image_url": URL}}, {"content": [URL, None, 3]}]},
        chat(TEXT, {"type": "text", "image_url": URL, "text": "x"}, {"image_url": None}, {"image_url": {"url": 3}}),
        chat({"image_url": "data:image/png;base64,AAAA"}, {"image_url": "/9j/4AAQ"}, {"image_url": "ftp://a/b"}),
        chat({"type": "audio_url", "audio_url": {"url": URL}}, {"type": ["image_url"], "image_url": URL}),
    ],
)
def test_texts_that_are_no_addresses(body: dict[str, Any]) -> None:
    assert list(in_chat(body)) == []


def test_a_file_in_the_place_of_its_address(mp4: bytes) -> None:
    body = chat({"image_url": {"url": URL}}, TEXT, {"video_url": URL}, {"type": "input_image", "image_url": URL})
    for medium in in_chat(body):
        medium.put(mp4 if medium.kind == "video" else PNG)
    request = read_chat(body)
    assert [(medium.visual.kind, medium.visual.files) for medium in request.media] == [
        (VisualKind.IMAGE, (PNG,)),
        (VisualKind.VIDEO, (mp4,)),
        (VisualKind.IMAGE, (PNG,)),
    ]
    parts = request.body["messages"][1]["content"]
    assert parts[0] == {"type": "image_url", "image_url": {"url": request.media[0].name}} and parts[1] == TEXT


def test_a_page_instead_of_a_picture_is_refused() -> None:
    body = chat({"image_url": URL})
    for medium in in_chat(body):
        medium.put(b"<!doctype html><title>an error page</title>")
    with pytest.raises(ApiError, match=r"messages\.1\.content\.0\.image_url cannot be read") as caught:
        read_chat(body)
    assert (caught.value.status, "error page" in caught.value.message) == (400, False)


@pytest.mark.parametrize("key", ["content", "output"])
@pytest.mark.parametrize("part", [{"type": "input_image", "image_url": URL}, {"image_url": URL}])
def test_images_of_the_responses_api(key: str, part: dict[str, Any]) -> None:
    text = {"type": "input_text", "text": URL}
    body: dict[str, Any] = {"input": [{"role": "user", "content": URL}, {"role": "user", key: [text, dict(part)]}]}
    (medium,) = in_responses(body)
    assert (medium.field, medium.kind) == (f"input.1.{key}.1.image_url", "image")
    medium.put(PNG)
    assert read_responses(body).media[0].visual.files == (PNG,)


@pytest.mark.parametrize("given", [None, URL, [URL], [{"content": URL}], [{"content": [{"image_url": {"url": URL}}]}]])
def test_responses_without_addresses(given: Any) -> None:
    assert list(in_responses({"input": given})) == []
