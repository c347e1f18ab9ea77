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
# Of headers that are followed one by one, which takes 20 ms; behind them every byte counts as one.
_FOLLOWED_HEADERS = 100_000
# Bytes of the length of a binary value, by the value's first byte.
_BINARY_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4}
# Bytes of the length of a text, by its first byte.
_TEXT_LENGTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
# Bytes behind the first one of numbers, and of the headers of lists and maps.
_FIXED_LENGTHS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8} | {
    0xDC: 2,
    0xDD: 4,
    0xDE: 2,
    0xDF: 4,
}
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
    """Bytes that reading msgpack takes, its own included; what binary values hold is only copied, whatever it is."""
    values, binary, end = _followed(content)
    values += content[end:]
    containers = len(values) - len(values.translate(None, _MSGPACK_CONTAINERS))
    return binary * TEXT_FACTOR + (len(content) - binary) * _MSGPACK_FACTOR + _VALUE_BYTES * containers


def _followed(content: bytes) -> tuple[bytearray, int, int]:
    """The first bytes of values, how many bytes binary values have, and where what was not followed begins.

    Extension types end it, because they are refused. A length may be wrong, and then the reader stops there as well.
    """
    firsts, binary, at = bytearray(), 0, 0
    while at < len(content) and len(firsts) < _FOLLOWED_HEADERS:
        first = content[at]
        payload = at + 1
        if first in _BINARY_LENGTHS or first in _TEXT_LENGTHS:
            payload += _BINARY_LENGTHS.get(first) or _TEXT_LENGTHS[first]
            length = int.from_bytes(content[at + 1 : payload], "big")
            if payload + length > len(content):
                break
            if first in _BINARY_LENGTHS:
                binary += length
        elif 0xA0 <= first < 0xC0:
            length = first - 0xA0
        elif 0xC7 <= first < 0xCA or 0xD4 <= first < 0xD9:
            break
        else:
            length = _FIXED_LENGTHS.get(first, 0)
        firsts.append(first)
        at = payload + length
    return firsts, binary, min(at, len(content))
