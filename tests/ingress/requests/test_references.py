"""Reference images and videos: uploads and data URIs, and references that are refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from cosmos3_core.media.stills import encode_image
from cosmos3_core.modes import Mode
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import Body, Upload
from deployments.ingress.requests.generation import read_video
from tests.ingress.requests.reading import JPEG, PNG, refused, uri, video


def test_paths_are_refused() -> None:
    for name in ("image", "video", "input_reference", "image_reference", "video_reference"):
        for place in ({name: "/etc/passwd"}, {"extra_params": {name: "/etc/passwd"}}):
            assert refused(place).param == name


@pytest.mark.parametrize("media", ["png", "jpeg", "mp4"])
@pytest.mark.parametrize("name", ["input_reference", "input_references", "image", "video"])
@pytest.mark.parametrize("how", ["upload", "data URI", "wrong type"])
def test_input_reference(media: str, name: str, how: str, mp4: bytes) -> None:
    content = {"png": PNG, "jpeg": JPEG, "mp4": mp4}[media]
    if how == "upload":
        found = video({}, **{name: content})
    else:
        found = video({name: uri(content, "application/octet-stream" if how == "wrong type" else "image/png")})
    expected = (None, mp4) if media == "mp4" else (content, None)
    assert (found.request.image, found.request.video) == expected
    assert found.request.mode is (Mode.VIDEO_TO_VIDEO if media == "mp4" else Mode.IMAGE_TO_VIDEO)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda address: address,
        lambda address: {"image_url": address},
        lambda address: [{"image_url": address}],
        lambda address: {"image_url": address, "file_id": None},
        lambda address: json.dumps({"image_url": address}),
        lambda address: " " + json.dumps([address]),
    ],
)
@pytest.mark.parametrize("name", ["image_reference", "input_reference"])
def test_forms_of_a_reference(name: str, wrap: Any) -> None:
    found = video({name: wrap(uri(PNG))})
    assert (found.request.image, found.request.mode) == (PNG, Mode.IMAGE_TO_VIDEO)


def test_video_reference(mp4: bytes) -> None:
    found = video({"video_reference": {"video_url": uri(mp4, "video/mp4")}, "num_frames": 1})
    assert (found.request.video, found.request.mode) == (mp4, Mode.VIDEO_TO_VIDEO)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image_reference": "http://127.0.0.1/x"}, "not fetched"),
        ({"image_reference": {"image_url": "https://example.com/secret.png"}}, "not fetched"),
        ({"image_reference": "FILE:///etc/passwd"}, "not fetched"),
        ({"video_reference": {"video_url": "ftp://x"}}, "not fetched"),
        ({"image_reference": '{"file_id": "file-1"}'}, "file_id"),
        ({"image_reference": '{"image_url": '}, "Invalid JSON in form field"),
        ({"image_reference": {"image_url": uri(PNG), "detail": "high"}}, "other keys"),
        ({"image_reference": {"video_url": uri(PNG)}}, "other keys"),
        ({"image_reference": {"image_url": 3}}, "a number as its image_url"),
        ({"image_reference": {"image_url": {"url": uri(PNG)}}}, "an object"),
        ({"image_reference": [uri(PNG), uri(PNG)]}, "holds 2"),
        ({"image_reference": [[uri(PNG)]]}, "a list"),
        ({"image_reference": 3}, "a number"),
        ({"image_reference": uri(PNG, "video/mp4")}, "holds a video; expected an image"),
        ({"image_reference": "data:image/png,AAAA"}, "without base64"),
        ({"image_reference": "data:image/png;base64"}, "without base64"),
        ({"image_reference": "data:image/png;base64,A A="}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,AAA"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,é"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,_-8="}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,"}, "empty"),
        ({"image_reference": base64.b64encode(PNG).decode()}, "is not a data URI"),
        ({"input_reference": "data:text/plain;base64,aGVsbG8="}, "cannot be read"),
        ({"input_reference": uri(PNG[: len(PNG) // 2])}, "cannot be read"),
    ],
)
def test_bad_references(fields: dict[str, Any], says: str) -> None:
    error = refused(fields)
    assert error.param == next(iter(fields))
    assert says in error.message
    assert "secret" not in error.message


def test_bad_uploads() -> None:
    assert refused({}, input_reference=b"").param == "input_reference"
    assert refused({}, input_reference=b"hello").param == "input_reference"
    with pytest.raises(ApiError, match="holds 2 references"):
        read_video(Body({"prompt": "x"}, {"input_references": [Upload("a", PNG), Upload("b", PNG)]}))


def test_references_cannot_be_combined(mp4: bytes) -> None:
    assert refused({"image_reference": uri(PNG)}, input_reference=PNG).param == "image_reference"
    assert refused({"image_reference": uri(PNG), "video_reference": uri(mp4)}).param == "video_reference"
    assert refused({"input_reference": uri(PNG)}, input_reference=PNG).param == "input_reference"
    assert refused({}, input_reference=PNG, input_references=mp4).param == "input_references"


def test_a_data_uri_of_two_mebibytes() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    content = encode_image(noise, "png")
    assert len(content) > 2**21
    assert video({"image_reference": json.dumps({"image_url": uri(content)})}).request.image == content
