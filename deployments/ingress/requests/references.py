"""Reads the reference image or video of a request: an upload or a data URI.

It fetches no URL and opens no path: a text is either a data URI or refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from cosmos3_core.media.checks import MediaError, TooManyPixels
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image
from cosmos3_core.modes import MediaKind
from cosmos3_core.request import MEDIA_FIELDS
from deployments.ingress.requests.body import Upload, json_type
from deployments.ingress.requests.strict_json import JsonError, parse_json
from deployments.wire.data_uri import EXAMPLE, read_data_uri

URL_KEYS: dict[str, MediaKind] = {f"{kind}_url": kind for kind in get_args(MediaKind)}
"""The keys that an object may have as a reference, and the kind of media of each."""
_FIRST_CHARACTERS = 64


@dataclass(frozen=True)
class Media:
    """An encoded image or video."""

    kind: MediaKind
    content: bytes


def read_reference(value: Any, kind: MediaKind | None = None) -> Media | None:
    """The image or video of a field: an upload, a data URI, `{"image_url": ...}`, or a list or JSON text of one.

    Args:
        value: the value that the client sent.
        kind: the kind that the field takes; None takes both.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name.
    """
    value = _unwrapped(value)
    if value is None:
        return None
    if isinstance(value, dict):
        value, kind = _named(value, kind)
    if isinstance(value, Upload):
        content = value.content
    elif isinstance(value, str):
        content = _content_of(value, kind)
    else:
        raise ValueError(f"is {json_type(value)}; expected {EXAMPLE} or a file upload")
    if not content:
        raise ValueError("is empty")
    return Media(kind or detect_kind(content), content)


def _content_of(text: str, kind: MediaKind | None) -> bytes:
    uri = read_data_uri(text)
    if kind is not None and uri.family in MEDIA_FIELDS and uri.family != kind:
        raise ValueError(f"holds {_article(uri.family)}; expected {_article(kind)}")
    return uri.content


def detect_kind(content: bytes) -> MediaKind:
    """Find out whether a file is an image or a video by decoding it: clients' file names and types are often wrong.

    Raises:
        ValueError: it is neither.
    """
    try:
        decode_image(content)
        return "image"
    except TooManyPixels as error:
        raise ValueError(f"cannot be read: {error}") from None
    except MediaError:
        pass
    try:
        decode_video(content, first=1)
        return "video"
    except MediaError:
        formats = "JPEG, PNG, WEBP, BMP, GIF, TIFF, MP4, MOV, WebM, Matroska or AVI"
        raise ValueError(f"cannot be read as an image or a video; expected a complete {formats} file") from None


def _unwrapped(value: Any) -> Any:
    if isinstance(value, str) and value[:_FIRST_CHARACTERS].lstrip()[:1] in ("{", "["):
        try:
            value = parse_json(value)
        except JsonError as error:
            raise ValueError(f"cannot be read: Invalid JSON in form field: {error}") from None
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise ValueError(f"holds {len(value)} references; expected one")
    return value[0] if value else None


def _named(reference: dict[str, Any], kind: MediaKind | None) -> tuple[Any, MediaKind]:
    given = {key: value for key, value in reference.items() if value is not None}
    if "file_id" in given:
        raise ValueError(f"names a file_id, which this server does not keep; send {EXAMPLE}")
    expected = [key for key, named in URL_KEYS.items() if kind in (None, named)]
    if len(given) != 1 or not set(given) <= set(expected):
        wanted = " or ".join(f'{{"{key}": ...}}' for key in expected)
        raise ValueError(f"has other keys than expected; expected {wanted}")
    key, value = given.popitem()
    if not isinstance(value, str):
        raise ValueError(f"has {json_type(value)} as its {key}; expected a data URI")
    return value, URL_KEYS[key]


def _article(kind: str) -> str:
    return "an image" if kind == "image" else f"a {kind}"
