"""Base64 and data URIs of it. Other URIs are refused: what is fetched has been, before a request is read.

Both are read as people send them: in lines, without padding, in the alphabet for URLs, percent-encoded.
"""

from __future__ import annotations

import binascii
import re
import string
from dataclasses import dataclass
from urllib.parse import unquote

EXAMPLE = "a data URI such as data:image/png;base64,..."
_SCHEME_CHARACTERS = 64
_HEAD_CHARACTERS = 1024
"""The most characters before the comma of a data URI; its content is never searched for a comma."""
_SCHEMES = ("data:", "data%3a")
_ENCODED_COMMA = re.compile("%2c|,", re.IGNORECASE)
_WHITESPACE = b" \t\r\n\v\f"
_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
_STANDARD = bytes.maketrans(b"-_", b"+/")
# What an encoder of URLs makes of base64 and its line breaks. Letters and digits are never escaped.
_ESCAPES = [(spelling, bytes([byte])) for byte in b"+/=-_ \t\r\n" for spelling in {b"%%%02X" % byte, b"%%%02x" % byte}]


@dataclass(frozen=True)
class DataUri:
    """The content of a data URI.

    Attributes:
        family: the part of its media type before the slash, such as `image`, in lower case; empty if it has none.
        content: the bytes.
    """

    family: str
    content: bytes


def is_data_uri(text: str) -> bool:
    """Whether a text says that it is a data URI."""
    return text[:_SCHEME_CHARACTERS].lstrip().lower().startswith(_SCHEMES)


def read_data_uri(text: str) -> DataUri:
    """Read a base64 data URI, with any parameters; it may be percent-encoded as a whole. See `read_base64`.

    Raises:
        ValueError: the text is a URL, a path or anything else, or not base64. The message is the rest of a sentence
            that begins with the field's name, and does not repeat what was sent.
    """
    if not is_data_uri(text):
        scheme, colon, _ = text[:_SCHEME_CHARACTERS].partition(":")
        if colon and scheme.replace("+", "").isalnum():
            raise ValueError(f"is a URL of a kind that is not fetched by this server; send {EXAMPLE}")
        raise ValueError(f"is not a data URI; send {EXAMPLE}")
    head, encoded = _head_and_content(text.lstrip())
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    if encoded is None or "base64" not in parameters:
        raise ValueError("is a data URI without base64; expected data:<type>;base64,<content>")
    return DataUri(media_type.partition("/")[0], read_base64(encoded))


def _head_and_content(text: str) -> tuple[str, str | None]:
    """What stands between the scheme and the comma of a data URI, and what follows it; None without a comma."""
    start = text[:_HEAD_CHARACTERS]
    scheme = next(scheme for scheme in _SCHEMES if start.lower().startswith(scheme))
    comma = _ENCODED_COMMA.search(start) if "%" in scheme else re.search(",", start)
    head = unquote(start[len(scheme) : comma.start() if comma else None])
    return head, None if comma is None else text[comma.end() :]


def read_inline(text: str) -> DataUri:
    """Read a data URI, or base64 without one.

    Raises:
        ValueError: it is neither; see `read_data_uri`.
    """
    if ":" in text[:_SCHEME_CHARACTERS] or is_data_uri(text):
        return read_data_uri(text)
    return DataUri("", read_base64(text))


def read_base64(text: str) -> bytes:
    """Read base64 in either alphabet, with or without padding, white space and percent-encoding.

    Raises:
        ValueError: it is something else; the message is the rest of a sentence that begins with the field's name.
    """
    if not text.isascii():
        # Before it is copied.
        raise ValueError("is not valid base64: it holds characters that base64 never has")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        # Only now is it copied: most of it comes as the standard has it, and it may be large.
        return binascii.a2b_base64(_normalized(text), strict_mode=True)


def _normalized(text: str) -> bytes:
    """The same base64 in the standard alphabet, with padding and nothing else."""
    encoded = text.encode("ascii")
    if b"%" in encoded:
        for escape, meaning in _ESCAPES:
            encoded = encoded.replace(escape, meaning)
    bare = encoded.translate(_STANDARD, _WHITESPACE)
    if b" " in encoded.strip() and (len(bare) % 4 or not _is_wrapped(encoded)):
        # A form that was not percent-encoded turns each + into a space.
        restored = encoded.strip().replace(b" ", b"+").translate(_STANDARD, _WHITESPACE)
        bare = bare if len(restored) % 4 else restored
    bare = bare.rstrip(b"=")
    foreign = bare.translate(None, _ALPHABET)
    if foreign:
        reason = "goes on after its padding" if foreign.strip(b"=") == b"" else "holds characters that base64 never has"
        raise ValueError(f"is not valid base64: it {reason}")
    if len(bare) % 4 == 1:
        raise ValueError("is not valid base64: characters are missing, as if it had been cut off")
    return bare + b"=" * (-len(bare) % 4)


def _is_wrapped(encoded: bytes) -> bool:
    """Whether a text is in pieces of one length, as lines are that were joined by spaces."""
    *pieces, last = encoded.split()
    return len(set(map(len, pieces))) == 1 and len(last) <= len(pieces[0])
