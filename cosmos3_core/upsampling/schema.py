"""From a template's form to the JSON schema that a Reasoner's answer obeys, and the check that it does.

Every list and every text is bounded, so that an answer ends within its tokens whatever the model writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos3_core.upsampling.template import TemplateError

JsonSchema = dict[str, Any]

MAX_TOKENS = 20_000
"""The most tokens of an answer, as in NVIDIA's upsampler (spec 4.8)."""
CLIP_KEYS = frozenset({"duration", "fps", "resolution", "aspect_ratio"})
"""Top-level fields that repeat the request's own numbers, so no model has to write them."""
LONG_TEXTS = frozenset({"scene_imagination", "comprehensive_t2i_caption", "temporal_caption", "audio_description"})
LONG = 8
"""How many times longer these may be than other texts."""
MAY_BE_EMPTY = frozenset({"text_and_signage_elements", "transitions"})
"""Lists of what many scenes do not have; a model that had to name one would invent a sign or a cut."""
TEXT_PER_TOKEN, NAMES_PER_TOKEN = 2.5, 1.5
"""Characters of a token in texts, and in all else. A tokenizer makes longer ones, so this leaves a reserve; it is for
models that spell field names in more tokens than they need."""
MAX_ITEMS = 4
AMPLE_CHARACTERS, FEWEST_CHARACTERS = 80, 8
"""Lists get fewer items where texts would be shorter than the first number; the second is the least that is useful."""
MAX_NUMBER = 99
_NUMBER = re.compile(r"int\b")
_ANY_KEY = re.compile(r"<.*>")


@dataclass(frozen=True)
class _Bounds:
    """The most items of a list and the most characters of a text that is not long."""

    items: int
    characters: int


def schema_of(form: Mapping[str, Any], max_tokens: int) -> JsonSchema:
    """The schema of the answers that fill in a form.

    All fields are required, in the form's order, and there are no others. A text that begins with `int` and a number
    stand for a whole number from 0 to 99, other texts for a text. An object whose only key is in angle brackets, which
    stands for keys of the model's choice, is an empty one.

    Args:
        form: as in `Template`; `duration`, `fps`, `resolution` and `aspect_ratio` are left out.
        max_tokens: the most tokens of an answer.

    Raises:
        TemplateError: the form holds what no schema is known for, or has too many fields for `max_tokens`.
    """
    written = {name: value for name, value in form.items() if name not in CLIP_KEYS}
    return _schema("", written, _bounds(written, max_tokens))


def _bounds(form: Mapping[str, Any], max_tokens: int) -> _Bounds:
    found = _Bounds(0, 0)
    for items in range(MAX_ITEMS, 0, -1):
        tokens = max_tokens - len(json.dumps(_empty(form, items))) / NAMES_PER_TOKEN
        found = _Bounds(items, int(tokens * TEXT_PER_TOKEN) // max(1, _texts("", form, items)))
        if found.characters >= AMPLE_CHARACTERS:
            break
    if found.characters < FEWEST_CHARACTERS:
        raise TemplateError(f"the form has too many fields for an answer of {max_tokens} tokens; raise max_tokens")
    return found


def _empty(value: Any, items: int) -> Any:
    """A form with as many items in its lists as they may have, without its texts."""
    if isinstance(value, Mapping):
        return {name: _empty(inner, items) for name, inner in value.items()}
    if isinstance(value, list):
        return [_empty(inner, items) for inner in value[:1] * items]
    return MAX_NUMBER if _is_number(value) else ""


def _texts(name: str, value: Any, items: int) -> int:
    """How many texts there are at most; long ones count several times."""
    if isinstance(value, Mapping):
        return sum(_texts(inner_name, inner, items) for inner_name, inner in value.items())
    if isinstance(value, list):
        return sum(_texts(name, inner, items) for inner in value[:1] * items)
    return 0 if _is_number(value) else _length(name)


def _length(name: str) -> int:
    return LONG if name in LONG_TEXTS else 1


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.match(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _schema(name: str, value: Any, bounds: _Bounds) -> JsonSchema:
    if isinstance(value, Mapping):
        return _object({} if _has_any_keys(value) else value, bounds)
    if isinstance(value, list) and len(value) == 1:
        least = 0 if name in MAY_BE_EMPTY else 1
        return {
            "type": "array",
            "items": _schema(name, value[0], bounds),
            "minItems": least,
            "maxItems": bounds.items,
        }
    if _is_number(value):
        return {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
    if isinstance(value, str):
        return {"type": "string", "maxLength": _length(name) * bounds.characters}
    expected = "expected a text, a number, an object, or a list with one of these"
    raise TemplateError(f"the form's field {name} is {json.dumps(value)[:60]}; {expected}")


def _has_any_keys(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and _ANY_KEY.fullmatch(next(iter(value))) is not None


def _object(fields: Mapping[str, Any], bounds: _Bounds) -> JsonSchema:
    return {
        "type": "object",
        "properties": {name: _schema(name, value, bounds) for name, value in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def problem_in(value: Any, schema: JsonSchema, place: str = "") -> str | None:
    """What is wrong with a value, as a sentence that begins with its place; None if it obeys the schema.

    Lengths of texts are not checked: they only make decoding end, and it counts bytes that are no UTF-8 differently.
    """
    expected: str = schema["type"]
    types: dict[str, type] = {"object": dict, "array": list, "integer": int, "string": str}
    is_of_type = isinstance(value, types[expected]) and not isinstance(value, bool)
    if not is_of_type:
        return f"{place or 'it'} is not of type {expected}"
    if isinstance(value, dict):
        return _problem_in_object(value, schema, place)
    if isinstance(value, list):
        if not schema["minItems"] <= len(value) <= schema["maxItems"]:
            return f"{place} has {len(value)} items; expected {schema['minItems']} to {schema['maxItems']}"
        found = (problem_in(item, schema["items"], f"{place}.{index}") for index, item in enumerate(value))
        return next((problem for problem in found if problem is not None), None)
    if isinstance(value, int):
        within = schema["minimum"] <= value <= schema["maximum"]
        return None if within else f"{place} is {value}; expected {schema['minimum']} to {schema['maximum']}"
    return None


def _problem_in_object(value: dict[str, Any], schema: JsonSchema, place: str) -> str | None:
    properties: dict[str, JsonSchema] = schema["properties"]
    prefix = f"{place}." if place else ""
    missing = next((name for name in properties if name not in value), None)
    if missing is not None:
        return f"{prefix}{missing} is missing"
    if len(value) > len(properties):
        return f"{place or 'it'} has fields that the form does not have"
    found = (problem_in(value[name], inner, f"{prefix}{name}") for name, inner in properties.items())
    return next((problem for problem in found if problem is not None), None)
