"""Images and videos in requests: how they are found and read, and what comes to stand for them."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.errors import RequestError
from cosmos3_core.media.frame_sampling import FrameSampling
from deployments.wire.chat_media import IMAGE, VIDEO, medium_of, parts_of, read_medium, url_of, with_parts
from deployments.wire.visual_input import VisualInput, VisualKind, VisualReading

READING = VisualReading()


def uri(content: bytes, header: str = "data:image/png;base64") -> str:
    return f"{header},{base64.b64encode(content).decode()}"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(name: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": name}}


def chat(*contents: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content} for content in contents]}


def test_parts_that_are_objects_are_found() -> None:
    body = chat("words", [text("a"), "not an object", text("b")], None, [text("c")])
    assert [part["text"] for part in parts_of(body)] == ["a", "b", "c"]


@pytest.mark.parametrize("kind", [IMAGE, VIDEO])
@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_forms_of_a_medium(kind: str, typed: bool, nested: bool) -> None:
    part = {kind: {"url": "x", "detail": "high"} if nested else "x"} | ({"type": kind} if typed else {})
    assert medium_of(part) == kind and url_of(part, kind) == "x"


@pytest.mark.parametrize(
    "part",
    [{}, {"type": "image_url"}, text("a"), {"type": "text", "text": "a", "image_url": "b"}, {"type": ["image_url"]}],
)
def test_other_parts_are_no_media(part: dict[str, Any]) -> None:
    assert medium_of(part) is None


@pytest.mark.parametrize(
    "header",
    [
        "data:image/png;base64",
        "DATA:image/png;BASE64",
        "data:;base64",
        "data:image/*;base64",
        "data:a;charset=x;base64",
    ],
)
def test_headers_of_data_uris(header: str) -> None:
    assert read_medium(uri(b"\x00\xff", header), IMAGE, "field", READING).files == (b"\x00\xff",)


@given(st.binary(max_size=100))
def test_any_bytes_round_trip(content: bytes) -> None:
    for kind, expected in ((IMAGE, VisualKind.IMAGE), (VIDEO, VisualKind.VIDEO)):
        assert read_medium(uri(content), kind, "field", READING) == VisualInput.of(expected, (content,), READING)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_frames_that_the_sender_chose(frames: list[bytes]) -> None:
    url = "data:video/jpeg;base64," + ",".join(base64.b64encode(frame).decode() for frame in frames)
    found = read_medium(url, VIDEO, "field", READING)
    assert (found.kind, found.files) == (VisualKind.FRAMES, tuple(frames))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "is not a data URI"),
        (7, "is not a data URI"),
        ("", "is not a data URI"),
        ("https://example.com/a.png", "not fetched"),
        ("file:///etc/passwd", "not fetched"),
        ("data", "is not a data URI"),
        ("data:image/png;base64", "without base64"),
        ("data:image/png,abc", "without base64"),
        ("data:image/png;base64,abcde", "is not valid base64"),
        ("data:image/png;base64,a b!", "is not valid base64"),
        ("data:image/png;base64,é===", "is not valid base64"),
        ("data:image/png;base64,Zm9v=Zm9v", "is not valid base64"),
        ("data:video/jpeg;base64,Zm9v,,Zm9vZ", "is not valid base64"),
    ],
)
def test_refused_urls(url: Any, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_medium(url, VIDEO, "messages.1.content.1.video_url", READING)
    assert caught.value.field == "messages.1.content.1.video_url"
    assert says in caught.value.reason
    assert "passwd" not in str(caught.value) and "example" not in str(caught.value)


def test_a_key_is_of_the_content_and_of_how_it_is_read() -> None:
    dense, large = VisualReading(FrameSampling(fps=4.0)), VisualReading(most_pixels=4096)
    keys = {
        VisualInput.of(kind, (content,), reading).key
        for kind in (VisualKind.VIDEO, VisualKind.FRAMES)
        for content in (b"a", b"b")
        for reading in (READING, dense, large)
    }
    assert len(keys) == 12
    # How densely videos are read changes no image.
    images = [VisualInput.of(VisualKind.IMAGE, (b"a",), reading) for reading in (READING, dense, large)]
    assert images[0].key == images[1].key != images[2].key


def test_media_are_replaced_by_name() -> None:
    body = chat([image("1"), text("a")], "words", [text("b"), image("2"), image("3")])
    before, one, two = copy.deepcopy(body), {"type": "e", "e": 1}, {"type": "e", "e": 2}
    assert with_parts(body, {"1": one, "3": two}) == chat([one, text("a")], "words", [text("b"), image("2"), two])
    assert body == before


def test_other_keys_of_a_message_are_kept() -> None:
    body = {"messages": [{"role": "user", "name": "x", "content": [image("1")]}], "seed": 1}
    expected = {"messages": [{"role": "user", "name": "x", "content": [text("a")]}], "seed": 1}
    assert with_parts(body, {"1": text("a")}) == expected


def test_frames_that_their_sender_chose_are_shown_once_a_second_unless_the_request_says_otherwise() -> None:
    rates = [VisualReading(frames).chosen_fps for frames in (None, FrameSampling(num_frames=5), FrameSampling(fps=4.0))]
    assert rates == [1.0, 1.0, 4.0]
