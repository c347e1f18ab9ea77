"""Reads the media of a request: an image, a video or a sound, as an upload or a data URI.

It fetches no URL and opens no path: a text is either a data URI or refused. What a URL led to arrives as an upload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cosmos3_core.media.signature import SIGNATURE_BYTES, media_kind
from cosmos3_core.modes import MediaKind
from deployments.ingress.requests.body import json_type
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.strict_json import JsonError, parse_json
from deployments.wire.data_uri import EXAMPLE, read_data_uri, read_inline
from deployments.wire.encoded_file import EncodedFile, first_bytes

FileKind = Literal["image", "video", "audio"]
VISUAL: tuple[FileKind, ...] = get_args(MediaKind)
URL_KEYS: dict[str, FileKind] = {f"{kind}_url": kind for kind in get_args(FileKind)}
"""The keys that an object may have as a reference, and the kind of media of each."""
ADDRESS_PATTERN = "^(data:|https?://|file://)"
"""What a reference in JSON begins with, as a JSON schema's pattern."""
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4ceIEAAS0AlkWLoFAAAAAAElFTkSuQmCC"
)
"""The smallest image, for examples."""
SILENCE = (
    "data:audio/wav;base64,"
    "UklGRkQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YSAAAACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgA=="
)
"""The smallest sound, for examples."""
_FAMILIES: dict[FileKind, tuple[str, ...]] = {"image": ("image",), "video": ("video",), "audio": ("audio", "video")}
"""The kinds of files that hold media of a kind: a video may be sent for its sound."""
_ARTICLES = {"image": "an image", "video": "a video", "audio": "a sound"}
_FIRST_CHARACTERS = 64


@dataclass(frozen=True)
class File:
    """Encoded media, and their kind if the client says it."""

    kind: FileKind | None
    content: EncodedFile


@dataclass(frozen=True)
class Media:
    """An encoded image or video."""

    kind: MediaKind
    content: EncodedFile


def read_reference(value: Any, kind: MediaKind | None = None) -> Media | None:
    """The image or video of a field; what it may be is said at `read_file`.

    Args:
        value: the value that the client sent.
        kind: the kind that the field takes; None takes both, and tells them apart by their first bytes.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name.
    """
    found = read_file(value, VISUAL if kind is None else (kind,))
    if found is None:
        return None
    if found.kind == "image" or found.kind == "video":
        return Media(found.kind, found.content)
    return Media(media_kind(first_bytes(found.content, SIGNATURE_BYTES)), found.content)


def read_sound(value: Any) -> EncodedFile | None:
    """The encoded file of a soundtrack; what it may be is said at `read_file`. It is not decoded.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name.
    """
    found = read_file(value, ("audio",))
    return None if found is None else found.content


def read_file(value: Any, kinds: Sequence[FileKind] = VISUAL, bare: bool = False) -> File | None:
    """A file of a field: an upload, a data URI, `{"image_url": ...}`, or a list or JSON text of one.

    Args:
        value: the value that the client sent.
        kinds: the kinds that the field takes.
        bare: whether it takes base64 that is no data URI as well.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name.
    """
    value = _unwrapped(value)
    if value is None:
        return None
    if isinstance(value, dict):
        value, kind = _named(value, kinds)
        kinds = (kind,)
    if isinstance(value, Upload):
        content: EncodedFile = value.content
    elif isinstance(value, str):
        content = _content_of(value, kinds, bare)
    else:
        raise ValueError(f"is {json_type(value)}; expected {EXAMPLE} or a file upload")
    if not content:
        raise ValueError("is empty")
    return File(kinds[0] if len(kinds) == 1 else None, content)


def _content_of(text: str, kinds: Sequence[FileKind], bare: bool) -> bytes:
    uri = read_inline(text) if bare else read_data_uri(text)
    holders = {family for kind in kinds for family in _FAMILIES[kind]}
    if uri.family in _ARTICLES and uri.family not in holders:
        wanted = " or ".join(_ARTICLES[kind] for kind in kinds)
        raise ValueError(f"holds {_ARTICLES[uri.family]}; expected {wanted}")
    return uri.content


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


def _named(reference: dict[str, Any], kinds: Sequence[FileKind]) -> tuple[Any, FileKind]:
    given = {key: value for key, value in reference.items() if value is not None}
    if "file_id" in given:
        raise ValueError(f"names a file_id, which this server does not keep; send {EXAMPLE}")
    expected = [key for key, named in URL_KEYS.items() if named in kinds]
    if len(given) != 1 or not set(given) <= set(expected):
        wanted = " or ".join(f'{{"{key}": ...}}' for key in expected)
        raise ValueError(f"has other keys than expected; expected {wanted}")
    key, value = given.popitem()
    if not isinstance(value, (str, Upload)):
        raise ValueError(f"has {json_type(value)} as its {key}; expected a data URI or a URL")
    return value, URL_KEYS[key]
