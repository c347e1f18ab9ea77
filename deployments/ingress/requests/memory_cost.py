"""How much memory it takes to read a body, judged by its bytes before they are parsed.

The figures are bounds for CPython, which `tests/ingress/requests/test_memory_cost.py` checks.
"""

from __future__ import annotations

# The body, its text, what is parsed of it, and the copies that base64 goes through where it is not as the standard has
# it.
TEXT_FACTOR = 7
# A single character beyond the usual ones makes the text that it is in take four bytes for each of its characters.
WIDE_TEXT_FACTOR = 12
SETTLED_FACTOR = 3
"""What of a body is still held once it has been read: the fields, what they decode to, and that on its way."""
# What a list, an object or a value among others takes at most, for each byte that begins or parts them.
_VALUE_BYTES = 128
_BEGINS_OR_PARTS = (b"[", b"{", b",", b":")
# An escaped character, which may be of any width.
_ESCAPE = b"\\u"
# Pieces of a percent-encoded text are read one by one.
_ESCAPED_BYTES = 256
_URLENCODED_FACTOR = 15
# One-byte headers of lists and maps, and those of longer ones.
_MSGPACK_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_MSGPACK_FACTOR = 24


def json_cost(content: bytes | bytearray) -> int:
    """Bytes that reading JSON takes, or a text of a form, which may be JSON; its own are included."""
    values = sum(map(content.count, _BEGINS_OR_PARTS))
    narrow = content.isascii() and _ESCAPE not in content
    return len(content) * (TEXT_FACTOR if narrow else WIDE_TEXT_FACTOR) + _VALUE_BYTES * values


def urlencoded_cost(piece: bytes) -> int:
    """Bytes that reading a piece of a urlencoded form takes, its own included."""
    values = sum(map(piece.count, _BEGINS_OR_PARTS))
    return len(piece) * _URLENCODED_FACTOR + _VALUE_BYTES * values + _ESCAPED_BYTES * piece.count(b"%")


def msgpack_cost(content: bytes) -> int:
    """Bytes that reading msgpack takes, its own included."""
    containers = len(content) - len(content.translate(None, _MSGPACK_CONTAINERS))
    return len(content) * _MSGPACK_FACTOR + _VALUE_BYTES * containers
