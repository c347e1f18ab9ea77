"""JSON as RFC 8259 defines it, within limits of depth and size. The standard library's parser is more lenient."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

# Values are pickled between processes, which recurses.
MAX_DEPTH = 64
MAX_NAMES = 100_000
"""Of one object. What holds more is no request."""
_INTEGER_DIGITS = 4000


class JsonError(ValueError):
    """Text that is not the JSON that we accept; the message holds a position but nothing of the text."""


def parse_json(text: bytes | str) -> Any:
    """Parse JSON as RFC 8259 defines it, without NaN, Infinity or repeated names in an object.

    Raises:
        JsonError: the text is not such JSON.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (position {error.pos})"
        raise JsonError(f"{error.msg.partition(': ')[0]} at {place}") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"not {error.encoding} text at position {error.start}") from None
    except RecursionError:
        raise JsonError("nested too deeply") from None
    if deeper_than(value, MAX_DEPTH):
        raise JsonError("nested too deeply")
    return value


def deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` levels deep. It does not recurse."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonError("a number is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise JsonError("a number is too long")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise JsonError("an object has too many fields")
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JsonError("an object names a field twice")
    return unique
