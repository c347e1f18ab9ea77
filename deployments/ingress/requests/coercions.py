"""How a field's value is read, and the JSON schema that describes it to clients.

Forms send all values as text, so every coercion takes text too; its schema describes the value's form in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from cosmos3_core.modes import Mode
from deployments.ingress.requests.body import json_type
from deployments.ingress.requests.strict_json import JsonError, parse_json

T = TypeVar("T")
JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class Coercion(Generic[T]):
    """A way to read a value.

    Attributes:
        read: returns the value, or None if the value is to be ignored; raises ValueError with the rest of a sentence
            that begins with the field's name.
        schema: the JSON schema of the values that it takes.
        takes_file: whether a form may send the value as a file.
    """

    read: Callable[[Any], T]
    schema: JsonSchema
    takes_file: bool = False

    def __call__(self, value: Any) -> T:
        """Read a value."""
        return self.read(value)

    def with_schema(self, description: str = "", **keywords: Any) -> Coercion[T]:
        """The same coercion with more keywords in its schema; None removes a keyword of the core's schema."""
        described = {"description": description} if description else {}
        return replace(self, schema=self.schema | described | keywords)


class InnerError(ValueError):
    """A wrong value inside an object.

    Attributes:
        path: the names that lead to it, joined by dots. The message is the rest of a sentence that begins with it.
    """

    def __init__(self, name: str, error: ValueError) -> None:
        super().__init__(str(error))
        self.path: str = f"{name}.{error.path}" if isinstance(error, InnerError) else name


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Add the name of a key to the errors about its value."""
    try:
        yield
    except ValueError as error:
        raise InnerError(name, error) from None


def takes(**schema: Any) -> Callable[[Callable[[Any], T]], Coercion[T]]:
    """Turns a function that reads values into a coercion with this schema."""

    def coercion(read: Callable[[Any], T]) -> Coercion[T]:
        return Coercion(read, schema)

    return coercion


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
_BOOLEANS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
_NUMBER_CHARACTERS = 64


@takes(type="string")
def text(value: Any) -> str:
    """Text that UTF-8 can encode."""
    if not isinstance(value, str):
        raise ValueError(f"is {json_type(value)}; expected text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds lone surrogates; expected text that can be encoded as UTF-8") from None
    return value


@takes(type="boolean")
def flag(value: Any) -> bool:
    """A boolean in any spelling that is common in forms."""
    spelling = value.strip().lower() if isinstance(value, str) and len(value) <= _NUMBER_CHARACTERS else value
    if isinstance(spelling, (str, int)) and str(spelling).lower() in _BOOLEANS:
        return _BOOLEANS[str(spelling).lower()]
    raise ValueError(f"is {excerpt(value)}; expected true or false")


@takes(type="number")
def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, str) and len(value) <= _NUMBER_CHARACTERS and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError(f"is {excerpt(value)}; expected a number")
    return float(value)


@takes(type="integer")
def whole(value: Any) -> int:
    """A whole number; 35.0 counts as 35."""
    if isinstance(value, str) and len(value) <= _NUMBER_CHARACTERS and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        approximate = number(value)
    except ValueError:
        approximate = 0.5
    if not approximate.is_integer():
        raise ValueError(f"is {excerpt(value)}; expected a whole number")
    return int(approximate)


def within(low: int, high: int) -> Coercion[int]:
    """A whole number in a range."""

    @takes(type="integer", minimum=low, maximum=high)
    def ranged(value: Any) -> int:
        found = whole(value)
        if not low <= found <= high:
            raise ValueError(f"is {excerpt(found)}; expected {low if low == high else f'{low} to {high}'}")
        return found

    return ranged


def choice(**spellings: str) -> Coercion[str]:
    """One of a few words, in upper or lower case; each maps to its meaning."""

    @takes(type="string", enum=list(spellings))
    def chosen(value: Any) -> str:
        word = text(value).lower()
        if word not in spellings:
            raise ValueError(f"is {excerpt(value)}; expected {' or '.join(spellings)}")
        return spellings[word]

    return chosen


@takes(type="string", pattern="^(auto|[0-9]{1,6}x[0-9]{1,6})$", examples=["1280x720"])
def size(value: Any) -> tuple[int, ...]:
    """Width and height from `"1280x720"`; empty for `"auto"`, which means the default."""
    if value == "auto":
        return ()
    matched = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise ValueError(f"is {excerpt(value)}; expected <width>x<height> such as 1280x720")
    return int(matched[1]), int(matched[2])


@takes(type="number", exclusiveMinimum=0)
def seconds(value: Any) -> float:
    """A length in seconds."""
    length = number(value)
    if length <= 0:
        raise ValueError(f"is {excerpt(value)}; expected more than 0")
    return length


@takes(type=["string", "integer"], examples=["480"])
def tier(value: Any) -> str:
    """A size tier, such as 480."""
    return str(whole(value)) if isinstance(value, int) else text(value)


@takes(type="integer")
def seed(value: Any) -> int:
    """A seed, or a list with one seed."""
    return whole(value[0] if isinstance(value, list) and len(value) == 1 else value)


@takes(type=["integer", "boolean"])
def deterministic_seed(value: Any) -> int | None:
    """A seed. Some clients send a boolean under this name, which is ignored: our seeds are always deterministic."""
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
        return None
    return seed(value)


@takes(
    anyOf=[{"type": "array", "items": {"type": "integer"}}, {"type": "integer"}, {"type": "string"}],
    examples=[[0, 1], 0, "0,1"],
)
def whole_numbers(value: Any) -> list[int]:
    """Whole numbers: a list, JSON text of a list, `"0,1"`, or a single number."""
    return [whole(part) for part in _parts(value)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return list(value.strip().removeprefix("[").removesuffix("]").split(","))
    return value if isinstance(value, list) else [value]


@takes(type="array", items={"type": "number"}, minItems=2, maxItems=2, examples=[[400, 1000]])
def interval(value: Any) -> tuple[float, float]:
    """Two numbers, the lower one first."""
    ends = [number(part) for part in _parts(value)]
    if len(ends) != 2:
        raise ValueError(f"has {len(ends)} numbers; expected two, [low, high]")
    return ends[0], ends[1]


@takes(type="array", items={"type": "array", "items": {"type": "number"}}, examples=[[[0.0, 0.5], [0.1, 0.5]]])
def rows(value: Any) -> Any:
    """A matrix of numbers: lists, or JSON text of them."""
    if isinstance(value, str):
        value = structure(value, list)
    try:
        with np.errstate(over="ignore"):
            return np.asarray(value, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("must be a list of rows of numbers, all of one width") from None


@takes(
    anyOf=[rows.schema, {"type": "array", "items": {"type": "number"}}],
    examples=[[[0.0, 0.5]], [0.0, 0.5]],
)
def row_or_rows(value: Any) -> Any:
    """A matrix of numbers, a list of one matrix, or one row, which is a matrix too."""
    found = rows(value)
    if found.ndim == 0:
        raise ValueError(f"is {excerpt(value)}; expected a row of numbers, or rows of one width")
    if found.ndim == 1:
        return found[None]
    return found[0] if found.ndim == 3 and len(found) == 1 else found


def structure(value: Any, expected: type[dict[Any, Any]] | type[list[Any]]) -> Any:
    """An object or a list, or JSON text of one."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except JsonError as error:
            raise ValueError(f"cannot be read: Invalid JSON in form field: {error}") from None
    if not isinstance(value, expected):
        wrong = f"expected {json_type(expected())}, got {json_type(value)}"
        raise ValueError(f"cannot be read: Invalid JSON in form field: {wrong}")
    return value


@takes(type="string", enum=[known.value for known in Mode])
def mode(value: Any) -> Mode:
    """A generation mode by its name or an alias."""
    try:
        return Mode(text(value))
    except ValueError:
        raise ValueError(f"is {excerpt(value)}; expected one of {', '.join(Mode)}") from None


@takes(type="string", enum=[known.value for known in Mode if known.is_action])
def action_mode(value: Any) -> Mode:
    """One of the modes with actions."""
    modes = [known.value for known in Mode if known.is_action]
    try:
        asked = Mode(text(value))
    except ValueError:
        asked = None
    if asked is None or not asked.is_action:
        raise ValueError(f"is {excerpt(value)}; expected one of {', '.join(modes)}")
    return asked


@takes(type=["boolean", "string"])
def image_system_prompt_switch(value: Any) -> bool | None:
    """A boolean. On other servers' image routes the field is the name of a prompt style, which is ignored."""
    try:
        return flag(value)
    except ValueError:
        if isinstance(value, str):
            return None
        raise


def excerpt(value: Any) -> str:
    """A client's value for an error message: shortened, escaped, and never the content of media."""
    if isinstance(value, str):
        return repr(value[:60]) if len(value) <= 60 else f"{value[:60]!r}..."
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**60):
        return repr(value)
    return json_type(value)


def is_absent(value: Any) -> bool:
    """Whether a value counts as left out: null or empty."""
    return value is None or value in ("", [], {})


def is_harmless(value: Any) -> bool:
    """Whether a value switches a feature off, so that it does not matter that the feature is not supported."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "false", "0", "no", "off", "null", "none", "{}", "[]")
    return is_absent(value) or value is False or value == 0
