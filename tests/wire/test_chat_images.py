"""Images in the messages of a chat: how they are found, read and replaced."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.errors import RequestError
from deployments.wire.chat_images import data_of, image_parts, image_url, is_image, parts_of, with_parts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "content", "type", "image_url", "url"]), inner, max_size=3)
    ),
    max_leaves=15,
)


def uri(content: bytes, header: str = "data:image/png;base64") -> str:
    return f"{header},{base64.b64encode(content).decode()}"


def image(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": uri(content)}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def chat(*contents: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content} for content in contents]}


def refused(body: dict[str, Any]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        image_parts(body)
    return caught.value


def test_parts_come_with_their_paths() -> None:
    body = chat("words", [text("a"), "not an object", text("b")], None, [text("c")])
    found = [(path, part["text"]) for path, part in parts_of(body)]
    assert found == [
        ("messages.1.content.0", "a"),
        ("messages.1.content.2", "b"),
        ("messages.3.content.0", "c"),
    ]


def test_images_come_in_order() -> None:
    body = chat([image(b"1"), text("a")], "words", [text("b"), image(b"2"), image(b"3")])
    assert image_parts(body) == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": uri(b"1")}},
        {"type": "image_url", "image_url": {"url": uri(b"1"), "detail": "high"}},
        {"type": "image_url", "image_url": uri(b"1")},
        {"image_url": {"url": uri(b"1")}},
        {"image_url": uri(b"1")},
    ],
)
def test_forms_of_an_image(part: dict[str, Any]) -> None:
    assert is_image(part) and image_url(part) == uri(b"1")
    assert image_parts(chat([part])) == [b"1"]


@pytest.mark.parametrize(
    "part",
    [{}, {"type": "image_url"}, text("a"), {"type": "text", "text": "a", "image_url": "b"}, {"type": ["image_url"]}],
)
def test_other_parts_are_not_images(part: dict[str, Any]) -> None:
    assert not is_image(part)
    assert image_parts(chat([part])) == []


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
    assert data_of(uri(b"\x00\xff", header), "field") == b"\x00\xff"


@given(st.binary(max_size=100))
def test_any_bytes_round_trip(content: bytes) -> None:
    assert image_parts(chat([image(content)])) == [content]


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
        ("data:image/png;base64,abc", "is not valid base64"),
        ("data:image/png;base64,a b=", "is not valid base64"),
        ("data:image/png;base64,é===", "is not valid base64"),
        ("data:image/png;base64,Zm9v=Zm9v", "is not valid base64"),
    ],
)
def test_refused_urls(url: Any, says: str) -> None:
    error = refused(chat("words", [text("a"), {"type": "image_url", "image_url": {"url": url}}]))
    assert error.field == "messages.1.content.1.image_url"
    assert says in error.reason
    assert "passwd" not in str(error) and "example" not in str(error)


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": None}, {"messages": "a"}, {"messages": {}}, {"messages": [None, 1, [], "a"]}, chat(None, 1, {})],
)
def test_malformed_messages_have_no_images(body: dict[str, Any]) -> None:
    assert image_parts(body) == [] and with_parts(body, []) is body


def test_images_are_replaced_in_place() -> None:
    body = chat([image(b"1"), text("a")], "words", [text("b"), "c", image(b"2")])
    before, one, two = copy.deepcopy(body), {"type": "e", "e": 1}, {"type": "e", "e": 2}
    assert with_parts(body, [one, two]) == chat([one, text("a")], "words", [text("b"), "c", two])
    assert body == before


def test_without_replacements_the_body_is_unchanged() -> None:
    body = chat([text("a")])
    assert with_parts(body, []) is body


def test_other_keys_of_a_message_are_kept() -> None:
    body = {"messages": [{"role": "user", "name": "x", "content": [image(b"1")]}], "seed": 1}
    assert with_parts(body, [text("a")]) == {
        "messages": [{"role": "user", "name": "x", "content": [text("a")]}],
        "seed": 1,
    }


def test_messages_that_are_not_objects_are_kept() -> None:
    body = {"messages": ["words", {"role": "user", "content": [image(b"1")]}]}
    assert with_parts(body, [text("a")])["messages"] == ["words", {"role": "user", "content": [text("a")]}]


@given(st.dictionaries(st.sampled_from(["messages", "model"]), JSON, max_size=2))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        images = image_parts(body)
    except RequestError as error:
        assert error.field.startswith("messages.")
    else:
        assert len(images) == sum(is_image(part) for _, part in parts_of(body))
