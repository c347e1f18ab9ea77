"""Reference images and videos of a request: uploads and data URIs, always as bytes.

Nothing is fetched and nothing a client wrote is opened: a text is either a data URI or refused.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal

from cosmos3_core.media import MediaError, TooManyPixels, decode_image, decode_video
from deployments.ingress.body import JsonError, Upload, json_type, parse_json

Kind = Literal["image", "video"]

EXAMPLE = "a data URI such as data:image/png;base64,... or a file upload"
_KINDS: dict[str, Kind] = {"image_url": "image", "video_url": "video"}
_SCHEME_CHARACTERS = 64


@dataclass(frozen=True)
class Media:
    """An encoded image or video."""

    kind: Kind
    content: bytes


def read_reference(value: Any, kind: Kind | None = None) -> Media | None:
    """The one medium a field refers to: an upload, a data URI, `{"image_url": ...}`, or a list or JSON text of one.

    Args:
        value: as the client sent it.
        kind: what the field is for; None looks at the content.

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
        content = decode_data_uri(value, kind)
    else:
        raise ValueError(f"is {json_type(value)}; expected {EXAMPLE}")
    if not content:
        raise ValueError("is empty")
    return Media(kind or sniff(content), content)


def decode_data_uri(text: str, kind: Kind | None = None) -> bytes:
    """The content of a base64 data URI.

    Raises:
        ValueError: a URL, a path or other text, another media type than `kind`, or not strict base64.
    """
    scheme, colon, _ = text[:_SCHEME_CHARACTERS].partition(":")
    if not colon or scheme.lower() != "data":
        if colon and scheme.replace("+", "").isalnum():
            raise ValueError(f"is a URL; references by URL are not fetched by this server, send {EXAMPLE}")
        raise ValueError(f"is neither a file nor a data URI; send {EXAMPLE}")
    head, comma, encoded = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ValueError("is a data URI without base64; expected data:<type>;base64,<content>")
    declared = head[len("data:") :].partition(";")[0].partition("/")[0].lower()
    if kind is not None and declared in _KINDS.values() and declared != kind:
        raise ValueError(f"holds {_article(declared)}; expected {_article(kind)}")
    return decode_base64(encoded)


def decode_base64(text: str) -> bytes:
    """Strict base64: the standard alphabet, padded, nothing else.

    Raises:
        ValueError: it is not.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not valid base64; expected the standard alphabet with padding, no spaces") from None


def sniff(content: bytes) -> Kind:
    """Whether encoded media are an image or a video, by decoding: clients' file names and types are often wrong.

    Raises:
        ValueError: neither.
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
    if isinstance(value, str) and value[:_SCHEME_CHARACTERS].lstrip()[:1] in ("{", "["):
        try:
            value = parse_json(value)
        except JsonError as error:
            raise ValueError(f"cannot be read: Invalid JSON in form field: {error}") from None
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise ValueError(f"holds {len(value)} references; expected one")
    return value[0] if value else None


def _named(reference: dict[str, Any], kind: Kind | None) -> tuple[Any, Kind]:
    given = {key: value for key, value in reference.items() if value is not None}
    if "file_id" in given:
        raise ValueError(f"names a file_id, which this server does not keep; send {EXAMPLE}")
    expected = [key for key, named in _KINDS.items() if kind in (None, named)]
    if len(given) != 1 or not set(given) <= set(expected):
        wanted = " or ".join(f'{{"{key}": ...}}' for key in expected)
        raise ValueError(f"has other keys than expected; expected {wanted}")
    key, value = given.popitem()
    if not isinstance(value, str):
        raise ValueError(f"has {json_type(value)} as its {key}; expected a data URI")
    return value, _KINDS[key]


def _article(kind: str) -> str:
    return "an image" if kind == "image" else f"a {kind}"
