"""Finds JSON in what a language model writes: in fenced blocks, between sentences, cut off at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
MAX_FAILURES = 500
"""Brackets at which no JSON begins, after which a text is given up; the time for a text of brackets is bounded so."""
MAX_DEPTH = 8
"""Depth to which values are searched; no form that is asked for is deeper than three."""
_FENCED = re.compile(r"```[A-Za-z0-9]*(.*?)(?:```|\Z)", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
_TRAILING_COMMA = re.compile(r",\s*(?=[\]}])")


def json_values(text: str) -> list[Any]:
    """Every JSON object and list of a text, in order, outermost values only; those of fenced blocks if these have any.

    Where a list is cut off, its complete members are found. Commas before a closing bracket are ignored.
    """
    fenced = [value for block in _FENCED.findall(text) for value in _scanned(block)]
    return fenced or _scanned(text)


def collect(values: Iterable[Any], read: Callable[[str, Any], Sequence[T]]) -> list[T]:
    """What `read` makes of JSON values and of the values inside them, in order.

    Args:
        values: JSON values.
        read: takes a value's key, "" where it has none, and the value. Where it returns something, what is inside the
            value is not searched.
    """
    return [found for value in values for found in _collected("", value, read, MAX_DEPTH)]


def says_nothing_found(values: Iterable[Any]) -> bool:
    """Whether one of the values is an empty list, or an object with nothing but an empty list."""
    return any(value == [] or (isinstance(value, dict) and list(value.values()) == [[]]) for value in values)


def text_of(item: dict[str, Any], keys: Iterable[str]) -> str:
    """The first of the keys that has a text, without space around it; "" where none has."""
    texts = (item[key] for key in keys if isinstance(item.get(key), str))
    return next((text.strip() for text in texts if text.strip()), "")


def encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _scanned(text: str) -> list[Any]:
    decoder, values, position, failures = json.JSONDecoder(strict=False), [], 0, 0
    text = _TRAILING_COMMA.sub("", text)
    while failures < MAX_FAILURES and (opening := _OPENING.search(text, position)) is not None:
        try:
            value, position = decoder.raw_decode(text, opening.start())
            values.append(_encodable(value, MAX_DEPTH))
        except (ValueError, RecursionError):
            failures, position = failures + 1, opening.end()
    return values


def _encodable(value: Any, depth: int) -> Any:
    """The value with texts that can be written; what lies deeper than `depth` becomes None."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, (list, dict)) and depth == 0:
        return None
    if isinstance(value, list):
        return [_encodable(inner, depth - 1) for inner in value]
    if isinstance(value, dict):
        return {encodable(key): _encodable(inner, depth - 1) for key, inner in value.items()}
    return value


def _collected(name: str, value: Any, read: Callable[[str, Any], Sequence[T]], depth: int) -> Iterator[T]:
    found = read(name, value)
    yield from found
    if found or depth == 0:
        return
    if isinstance(value, list):
        for inner in value:
            yield from _collected(name, inner, read, depth - 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _collected(key, inner, read, depth - 1)
