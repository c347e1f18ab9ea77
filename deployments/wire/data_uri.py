"""Base64 and data URIs of it. Other URIs are refused: what is fetched has been, before a request is read."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

EXAMPLE = "a data URI such as data:image/png;base64,..."
_SCHEME_CHARACTERS = 64


@dataclass(frozen=True)
class DataUri:
    """The content of a data URI.

    Attributes:
        family: the part of its media type before the slash, such as `image`, in lower case; empty if it has none.
        content: the bytes.
    """

    family: str
    content: bytes


def read_data_uri(text: str) -> DataUri:
    """Read a base64 data URI in the standard alphabet with padding.

    Raises:
        ValueError: the text is a URL, a path or anything else, or not strict base64. The message is the rest of a
            sentence that begins with the field's name, and does not repeat what was sent.
    """
    scheme, colon, _ = text[:_SCHEME_CHARACTERS].partition(":")
    if scheme.lower() != "data" or not colon:
        if colon and scheme.replace("+", "").isalnum():
            raise ValueError(f"is a URL of a kind that is not fetched by this server; send {EXAMPLE}")
        raise ValueError(f"is not a data URI; send {EXAMPLE}")
    head, comma, encoded = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ValueError("is a data URI without base64; expected data:<type>;base64,<content>")
    family = head[len("data:") :].partition(";")[0].partition("/")[0].lower()
    return DataUri(family, read_base64(encoded))


def read_inline(text: str) -> DataUri:
    """Read a data URI, or base64 without one.

    Raises:
        ValueError: it is neither; see `read_data_uri`.
    """
    if ":" in text[:_SCHEME_CHARACTERS]:
        return read_data_uri(text)
    return DataUri("", read_base64(text))


def read_base64(text: str) -> bytes:
    """Read base64 in the standard alphabet with padding.

    Raises:
        ValueError: it is something else; the message is the rest of a sentence that begins with the field's name.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not valid base64; expected the standard alphabet with padding, no spaces") from None
