"""Paths and media are removed from messages."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.ingress.errors import ApiError
from deployments.redaction import redacted, without_media, without_paths

NAMES = st.text(string.ascii_letters + string.digits + "_-.+@", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no file /srv/data/a.mp4 here", "no file <path> here"),
        ("'/srv/data'", "'<path>'"),
        ("(/srv/data)", "(<path>)"),
        ("path=/a/b,/c/d", "path=<path>,<path>"),
        ("file:///srv/data/a", "file://<path>"),
        ("/a/b-c/d_e/f.g+h@i", "<path>"),
        ("/srv/é/x", "<path>"),
        ("~/.cache/models/x", "~<path>"),
        ("POST /v1/videos makes a job", "POST /v1/videos makes a job"),
        ("GET /v1/videos/video_gen_1/content", "GET /v1/videos/video_gen_1/content"),
        ("/health is up", "/health is up"),
        ("application/json", "application/json"),
        ("nvidia/Cosmos3-Nano", "nvidia/Cosmos3-Nano"),
        ("a/b/c/d", "a/b/c/d"),
        ("./a/b", "./a/b"),
        ("16/9 and 4 / 3", "16/9 and 4 / 3"),
        ("images/videos", "images/videos"),
        ("", ""),
    ],
)
def test_what_counts_as_a_path(message: str, shown: str) -> None:
    assert without_paths(message) == shown


@given(st.lists(NAMES, min_size=2, max_size=5), st.sampled_from(["", "no file ", "'", "(", "= "]))
def test_no_absolute_path_survives(names: list[str], before: str) -> None:
    path = "/" + "/".join(names)
    if not path.startswith("/v") or not path[2:3].isdigit() or path[3:4] != "/":
        assert without_paths(f"{before}{path}") == f"{before}<path>"


@given(st.text("/ab.v1 :'", max_size=20))
def test_cleaning_is_idempotent(message: str) -> None:
    assert without_paths(without_paths(message)) == without_paths(message)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("size is 'data:image/png;base64,iVBORw0KGgo='; expected", "size is 'data:image/png;base64,...'; expected"),
        ("Model mismatch: DATA:;BASE64,AAAA is not served", "Model mismatch: DATA:;BASE64,... is not served"),
        ("send a data URI such as data:image/png;base64,...", "send a data URI such as data:image/png;base64,..."),
        ("expected data:<type>;base64,<content>", "expected data:<type>;base64,<content>"),
    ],
)
def test_media_are_not_repeated(message: str, shown: str) -> None:
    assert without_media(message) == shown
    assert ApiError(400, message).body("id")["error"]["message"] == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot identify image file <_io.BytesIO object at 0x7f3e016d3020>", "cannot identify image file <object>"),
        ("<function decode at 0x7F3E016D3020> failed", "<object> failed"),
        ("<bound method A.b of <A object at 0x55d0c0ffee00>> failed", "<bound method A.b of <object>> failed"),
        ("<Task pending at 0x7f3e016d3020 name='x'> was", "<object> was"),
        ("segfault at 0x00007f3e016d3020", "segfault at <object>"),
        ("byte 0xff at position 3; status 0x1F", "byte 0xff at position 3; status 0x1F"),
        ("expected data:<type>;base64,<content>", "expected data:<type>;base64,<content>"),
        ("expected <width>x<height> such as 1280x720", "expected <width>x<height> such as 1280x720"),
        ("is 100x100000000000", "is 100x100000000000"),
    ],
)
def test_addresses_of_objects_are_not_shown(message: str, shown: str) -> None:
    assert redacted(message) == shown
    assert ApiError(400, message).body("id")["error"]["message"] == shown


def test_any_object_without_a_text_of_its_own() -> None:
    for value in (object(), len, [object()], {"a": lambda: 0}, test_any_object_without_a_text_of_its_own):
        assert "0x" not in redacted(f"is {value!r}; expected text")
