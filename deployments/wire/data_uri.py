"""Base64 data URIs: the only form in which media stand inside JSON. Nothing else is read, and nothing is fetched."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

EXAMPLE = "a data URI such as data:image/png;base64,..."
_SCHEME_CHARACTERS = 64


@dataclass(frozen=True)
class DataUri:
    """What a data URI holds.

    Attributes:
        family: what it says of itself before the slash, such as `image`, in lower case; empty where it says nothing.
        content: the bytes.
    """

    family: str
    content: bytes


def read_data_uri(text: str) -> DataUri:
    """The content of a base64 data URI: the standard alphabet, padded, nothing else.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name: a URL, a path or other text, or no strict
            base64. What was sent is not repeated in it.
    """
    scheme, colon, _ = text[:_SCHEME_CHARACTERS].partition(":")
    if scheme.lower() != "data" or not colon:
        if colon and scheme.replace("+", "").isalnum():
            raise ValueError(f"is a URL; references by URL are not fetched by this server, send {EXAMPLE}")
        raise ValueError(f"is not a data URI; send {EXAMPLE}")
    head, comma, encoded = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ValueError("is a data URI without base64; expected data:<type>;base64,<content>")
    family = head[len("data:") :].partition(";")[0].partition("/")[0].lower()
    try:
        return DataUri(family, base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("is not valid base64; expected the standard alphabet with padding, no spaces") from None
