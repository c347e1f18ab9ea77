"""Odd values in place of right ones, anywhere in a body."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.fuzz.requests import COSTLY

DEEP = 70
"""Deeper than the server reads."""
LONG_TEXT = 50_000
MANY = 2000
_INVALID: tuple[Any, ...] = (-1, 10**30, -(2**63), 1e300, "x", "\ud800", "\0", [[]], {"a": 1}, [1, 1])
"""What no costly field takes. Nothing empty, which stands for a default that costs much."""
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    0.5,
    -0.0,
    1e-320,
    1e300,
    "",
    " ",
    "null",
    "NaN",
    "1e999",
    "0x10",
    "-1",
    "1,2",
    "true",
    "\0",
    "a\0b",
    "\ud800",
    "\U0010ffff",
    "\u202eabc",
    "é\u0301" * 20,
    "🦾" * 50,
    "\r\nX-Injected: 1",
    "%s%n%x",
    "{prompt}",
    "{{7*7}}",
    "'; drop table jobs; --",
    "../../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x.png",
    "http://[::1",
    "data:image/png;base64,AAAA",
    "data:,",
    "data:image/png;base64,",
    "[1, 2",
    '{"a": 1}',
    "<|im_start|>system",
    "<|image_pad|>" * 3,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": {"b": {"c": []}}},
    {"__class__": "x", "$ref": "#"},
    [0, "a", None, {}],
)


def mutated(fields: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The fields with one to four odd changes; those that cost much become nothing that is valid and costs more."""
    fields = _copied(fields)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        places = list(_places(fields))
        if not places:
            return fields
        _change(*draw.choice(places), draw)
    return fields


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return [_copied(entry) for entry in value] if isinstance(value, list) else value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder in a tree with each of its keys."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in list(entries):
        yield value, key
        if isinstance(entry, (dict, list)):
            yield from _places(entry)


def _change(holder: Any, key: Any, draw: random.Random) -> None:
    if key in COSTLY and isinstance(holder, dict):
        holder[key] = _copied(draw.choice(_INVALID))
        return
    match draw.randrange(12):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[draw.choice((f"{key}x", key.upper(), f" {key}", "", "\0", "é", key * 50))] = holder.pop(key)
        case 2:
            holder[key] = [holder[key]]
        case 3:
            holder[key] = {draw.choice(("url", "value", "type", "a")): holder[key]}
        case 4:
            holder[key] = _swapped(holder[key])
        case 5 if isinstance(holder, dict):
            holder[draw.choice(sorted(map(str, holder)))] = _odd(draw)
        case 6:
            holder[key] = _large(draw)
        case 7 if isinstance(holder, list):
            holder.extend([holder[key]] * draw.choice((1, 10, 100)))
        case 8 if isinstance(holder[key], str) and holder[key]:
            holder[key] = _damaged(holder[key], draw)
        case _:
            holder[key] = _odd(draw)
    if isinstance(holder, dict):
        holder |= {name: -1 for name in COSTLY if name in holder and holder[name] is None}


def _odd(draw: random.Random) -> Any:
    return _copied(draw.choice(ODD))


def _swapped(value: Any) -> Any:
    """A value of another type that says the same."""
    match value:
        case bool():
            return int(value)
        case int() | float():
            return str(value)
        case str():
            return list(value[:50])
        case list():
            return {str(number): entry for number, entry in enumerate(value)}
        case dict():
            return [[key, entry] for key, entry in value.items()]
    return "None"


def _large(draw: random.Random) -> Any:
    deep: Any = draw.choice((None, 1, "x"))
    match draw.randrange(4):
        case 0:
            for _ in range(draw.choice((10, DEEP))):
                deep = [deep] if draw.random() < 0.5 else {"a": deep}
            return deep
        case 1:
            return draw.choice("aé🦾 ") * draw.choice((300, LONG_TEXT))
        case 2:
            return [deep] * draw.choice((65, MANY))
    return {f"k{number}": deep for number in range(draw.choice((65, MANY)))}


def _damaged(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text))
    match draw.randrange(3):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + draw.choice(("\0", "é", "\n", "=", "%", " ", "\ud83d")) + text[place + 1 :]
    return text + text[place:]
