"""Reference images and videos: uploads and data URIs, and references that are refused."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import encode_image
from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import read_video
from deployments.ingress.requests.references import SILENCE
from tests.ingress.requests.reading import JPEG, PNG, refused, uri, video
from tests.parity.cases import picture

WAV = base64.b64decode(SILENCE.partition(",")[2])


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
        ({"image_reference": {"image_url": {"name": uri(PNG)}}}, "an object"),
        ({"image_reference": [uri(PNG), uri(PNG)]}, "holds 2"),
        ({"image_reference": [[uri(PNG)]]}, "a list"),
        ({"image_reference": 3}, "a number"),
        ({"image_reference": uri(PNG, "video/mp4")}, "holds a video; expected an image"),
        ({"image_reference": "data:image/png,AAAA"}, "without base64"),
        ({"image_reference": "data:image/png;base64"}, "without base64"),
        ({"image_reference": "data:image/png;base64,A A!"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,AAAAA"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,é"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,_-8=A"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,"}, "empty"),
        ({"image_reference": base64.b64encode(PNG).decode()}, "is not a data URI"),
        ({"input_reference": "data:text/plain;base64,aGVsbG8="}, "cannot be read"),
    ],
)
def test_bad_references(fields: dict[str, Any], says: str) -> None:
    error = refused(fields)
    assert error.param == next(iter(fields))
    assert says in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("name", ["audio_reference", "sound_reference", "input_audio"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda address: address,
        lambda address: {"audio_url": address},
        lambda address: [{"audio_url": address}],
        lambda address: json.dumps({"audio_url": address}),
        lambda address: address.replace("audio/wav", "video/mp4"),
        lambda address: address.replace("audio/wav", "application/octet-stream"),
    ],
)
def test_forms_of_a_sound(name: str, wrap: Any) -> None:
    for place in ({name: wrap(SILENCE)}, {"extra_params": {name: wrap(SILENCE)}}):
        found = video(place)
        assert (found.request.sound, found.request.mode) == (WAV, Mode.TEXT_TO_VIDEO)
        assert found.names["sound"] == name and found.ignored == ()


def test_a_sound_with_other_inputs(mp4: bytes) -> None:
    upload = video({"sound_duration": 0.5}, audio_reference=WAV).request
    assert (upload.sound, upload.generate_sound, upload.sound_duration) == (WAV, False, 0.5)
    with_image = video({}, audio_reference=WAV, input_reference=PNG).request
    assert (with_image.mode, with_image.sound, with_image.image) == (Mode.IMAGE_TO_VIDEO, WAV, PNG)
    named = video({"mode": "audio_image2video", "sound_reference": SILENCE}, image=PNG).request
    assert (named.mode, named.sound) == (Mode.IMAGE_TO_VIDEO, WAV)
    assert video({}, audio_reference=mp4, video=mp4).request.mode is Mode.VIDEO_TO_VIDEO


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("https://example.com/secret.wav", "not fetched"),
        ({"audio_url": "http://127.0.0.1/secret.wav"}, "not fetched"),
        ({"video_url": SILENCE}, "other keys"),
        ({"file_id": "file-1"}, "file_id"),
        (uri(PNG), "holds an image; expected a sound"),
        ("/etc/secret.wav", "not a data URI"),
        ("data:audio/wav;base64,", "empty"),
        ([SILENCE, SILENCE], "holds 2"),
        (3, "a number"),
    ],
)
def test_bad_sounds(value: Any, says: str) -> None:
    error = refused({"audio_reference": value})
    assert error.param == "audio_reference" and says in error.message and "secret" not in error.message


@pytest.mark.parametrize(
    ("fields", "uploads", "param"),
    [
        ({"sound_reference": "data:audio/wav;base64,AAAA"}, {}, "sound_reference"),
        ({}, {"audio_reference": PNG}, "audio_reference"),
        ({"mode": "policy", "domain_name": "av", "image": uri(PNG)}, {"audio_reference": WAV}, "audio_reference"),
        ({"depth": uri(PNG)}, {"input_audio": WAV}, "input_audio"),
    ],
)
def test_sounds_that_are_refused_later(
    fields: dict[str, Any], uploads: dict[str, bytes], param: str, facts: ModelFacts
) -> None:
    found = video(fields, **uploads)
    with pytest.raises(RequestError) as caught:
        resolve(found.request, facts, read_inputs(found.request))
    assert found.refusal(caught.value).param == param


def test_the_example_sound_can_be_decoded() -> None:
    assert decode_audio(WAV).shape[0] == 2


@pytest.mark.parametrize("spelling", ["wrapped", "urlsafe", "percent", "parameters", "upper case"])
@pytest.mark.parametrize("field", ["image_reference", "input_reference", "edge"])
def test_a_reference_as_people_send_it(field: str, spelling: str) -> None:
    encoded = base64.b64encode(PNG).decode()
    sent = {
        "wrapped": "data:image/png;base64," + base64.encodebytes(PNG).decode(),
        "urlsafe": "data:image/png;base64," + base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        "percent": quote("data:image/png;base64," + encoded, safe=""),
        "parameters": "data:image/png;name=a.png;charset=utf-8;base64," + encoded,
        "upper case": "DATA:IMAGE/PNG;BASE64," + encoded,
    }[spelling]
    request = video({field: sent}).request
    assert (request.controls[0].video if field == "edge" else request.image) == PNG


def test_bad_uploads() -> None:
    assert refused({}, input_reference=b"").param == "input_reference"
    assert refused({}, input_reference=b"hello").param == "input_reference"
    with pytest.raises(ApiError, match="holds 2 references"):
        read_video(Body({"prompt": "x"}, {"input_references": [Upload("a", PNG), Upload("b", PNG)]}))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PNG[: len(PNG) // 2], "truncated"),
        (encode_image(picture(64, 64, seed=1), "jpeg")[:300], "Truncated File Read"),
        (encode_image(picture(64, 64, seed=1), "webp")[:100], "image"),
    ],
)
def test_the_reason_is_that_of_the_decoder_which_knows_the_format(content: bytes, says: str) -> None:
    found = video({}, input_reference=content)
    with pytest.raises(RequestError) as caught:
        read_inputs(found.request)
    message = found.refusal(caught.value).message
    assert message.startswith("input_reference cannot be read: ") and says in message


def test_a_sound_is_neither_an_image_nor_a_video() -> None:
    assert "as an image or a video" in refused({}, input_reference=WAV).message


def test_a_video_that_is_cut_short_is_refused_with_that_reason(mp4: bytes) -> None:
    for name in ("input_reference", "depth"):
        with pytest.raises((ApiError, RequestError), match="the file is cut short"):
            read_inputs(video({}, **{name: mp4[:-40]}).request)


def test_a_damaged_control_is_refused_with_the_reason_of_the_decoder_which_knows_it() -> None:
    with pytest.raises(RequestError, match=r"cannot decode image from .*truncated"):
        read_inputs(video({}, depth=PNG[: len(PNG) // 2]).request)


@pytest.mark.parametrize(
    "content", [b"hello", b"\0" * 100, b"<svg/>", b"%PDF-1.7", b"GIF89a", PNG[:8], b"RIFF    WEBP"]
)
@pytest.mark.parametrize("field", ["input_reference", "image_reference", "video_reference", "depth", "image"])
def test_no_refusal_shows_an_object(field: str, content: bytes) -> None:
    with pytest.raises((ApiError, RequestError)) as caught:
        read_inputs(video({}, **{field: content}).request)
    assert "0x" not in str(caught.value) and "<" not in str(caught.value), caught.value
    assert "expected a complete" in str(caught.value)


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
