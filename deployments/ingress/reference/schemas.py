"""JSON schemas of what clients send and get, made from the tables and types that the routes themselves use.

They describe; what checks a request is the tables' coercions and the core's `GenerationRequest`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import is_typeddict

from cosmos3_core import manifest
from cosmos3_core.request import GenerationRequest
from deployments.ingress import answers
from deployments.ingress.requests import action_request, chat_request
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.coercions import JsonSchema

REFERENCE = "#/components/schemas/{model}"
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "enum")
PARAMETERS = "ActionParameters"
BODIES = {"VideoRequest": tables.VIDEO, PARAMETERS: tables.ACTION, "ImageRequest": tables.IMAGE}
ANSWERS: tuple[type, ...] = (
    answers.ErrorEnvelope,
    answers.VideoObject,
    answers.VideoPage,
    answers.VideoDeleted,
    answers.ImagesAnswer,
    answers.ActionsAnswer,
    answers.Healthy,
    answers.Unhealthy,
    answers.NimHealth,
    answers.Version,
    answers.ModelEntry,
    answers.ModelList,
    manifest.Manifest,
)
OURS = ("deployments.", "cosmos3_core.")
_ATTRIBUTE = re.compile(r"    ([a-z0-9_]+(?:, [a-z0-9_]+)*): (.+)")


@cache
def components() -> dict[str, JsonSchema]:
    """All schemas by name."""
    schemas = _typed((*ANSWERS, action_request.ActionEnvelope))
    schemas |= {name: body_schema(schema) for name, schema in BODIES.items()}
    schemas["ActionEnvelope"]["properties"]["parameters"] = reference(PARAMETERS)
    # Inside of the envelope the instruction comes from elsewhere.
    schemas[PARAMETERS].pop("required")
    return schemas | {"ChatRequest": _chat()}


def reference(name: str) -> JsonSchema:
    """A reference to a schema."""
    return {"$ref": REFERENCE.format(model=name)}


def body_schema(schema: tables.Schema) -> JsonSchema:
    """The schema of a generation route's body: its fields, their other names, and the objects they may lie in."""
    properties = {name: _property(name, schema) for name in schema.accepted}
    for alias, name in tables.ALIASES.items():
        if alias not in properties and schema.coercion(alias) and not schema.refusal(alias):
            properties[alias] = {**_property(name, schema), "description": f"Another name of `{name}`."}
    properties |= {name: _container(name) for name in (tables.FILLER, *tables.CONTAINERS)}
    without_effect = ", ".join(sorted(tables.COSMETIC))
    return {
        "type": "object",
        "description": (
            "Null and empty values count as left out. Fields that are not named here are passed over and named in "
            f"`X-Ignored-Fields`. Accepted without effect: {without_effect}."
        ),
        "properties": properties,
        "required": ["prompt"],
    }


def _property(name: str, schema: tables.Schema) -> JsonSchema:
    canonical = tables.ALIASES.get(name, name)
    coercion = schema.accepted.get(name) or schema.accepted[canonical]
    known = _core_facts().get(canonical, {})
    if "anyOf" in coercion.schema:
        # The core's limits are of one of its forms.
        known = {fact: said for fact, said in known.items() if fact not in LIMITS}
    return {fact: said for fact, said in (known | coercion.schema).items() if said is not None}


def _container(name: str) -> JsonSchema:
    wins = "fills what is not given outside" if name == tables.FILLER else "wins over the same field outside"
    return {
        "description": f"Fields of this request once more, as an object or as JSON text; what it holds {wins}.",
        "anyOf": [{"type": "object"}, {"type": "string"}],
        "examples": [{"seed": 7}],
    }


def _chat() -> JsonSchema:
    refused = ", ".join(chat_request.REFUSED)
    return {
        "type": "object",
        "description": f"vLLM's request, handed on to it. Images come as data URIs. Refused: {refused}.",
        "properties": {
            "messages": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "model": {"type": "string", "description": "Name of a served model; without it the first one that chats."},
            "stream": {"type": "boolean", "default": False, "description": "Answer with server-sent events."},
            "n": {"type": "integer", "minimum": 1, "maximum": chat_request.MAX_CHOICES},
        },
        "required": ["messages"],
    }


class _Lenient(GenerateJsonSchema):
    """Leaves open what JSON has no type for, such as arrays of numpy."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


@cache
def _core_facts() -> dict[str, JsonSchema]:
    """What the core's request says of its fields: description, default and limits."""
    whole = GenerationRequest.model_json_schema(schema_generator=_Lenient)
    definitions, described = whole.get("$defs", {}), dict(_attributes(GenerationRequest))
    facts = {}
    for name, said in whole["properties"].items():
        kept = ("default", *LIMITS)
        found = {fact: value for fact, value in _unwrapped(said, definitions).items() if fact in kept}
        words = described.get(name, "")
        facts[name] = {"description": words[:1].upper() + words[1:]} | found
    return facts


def _unwrapped(said: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """A schema without its reference, and without null: null counts as left out."""
    if "$ref" in said:
        return definitions[said["$ref"].rpartition("/")[2]] | said
    if "anyOf" in said:
        inner = next(part for part in said["anyOf"] if part.get("type") != "null")
        return _unwrapped(inner, definitions) | said
    return said


def _typed(types: tuple[type, ...]) -> dict[str, JsonSchema]:
    """Schemas of types and of what they hold, described by their docstrings."""
    taken: Literal["validation"] = "validation"
    adapters: list[tuple[type, Literal["validation"], TypeAdapter[Any]]]
    adapters = [(found, taken, TypeAdapter(found)) for found in types]
    _, made = TypeAdapter.json_schemas(adapters, ref_template=REFERENCE)
    schemas: dict[str, JsonSchema] = {name: _without_titles(schema) for name, schema in made["$defs"].items()}
    for name, owner in _owners(types).items():
        schema = schemas[name]
        schema["description"] = inspect.cleandoc(owner.__doc__ or "").partition("\n\nAttributes:")[0]
        for base in owner.__mro__:
            if base.__module__.startswith(OURS):
                for field, said in _attributes(base):
                    schema["properties"][field].setdefault("description", said)
    return schemas


def _owners(types: Iterable[Any]) -> dict[str, type]:
    """The classes with fields among some types and all that they hold, by name."""
    owners: dict[str, type] = {}
    waiting = list(types)
    while waiting:
        found = waiting.pop()
        waiting += get_args(found)
        if not isinstance(found, type) or found.__name__ in owners:
            continue
        if issubclass(found, BaseModel):
            owners[found.__name__] = found
            waiting += [held.annotation for held in found.model_fields.values()]
        elif is_typeddict(found):
            owners[found.__name__] = found
            waiting += get_type_hints(found).values()
    return owners


def _without_titles(schema: Any) -> Any:
    """Without what pydantic makes of the names, and without the nulls that stand for fields left out."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _without_titles(part) for name, part in schema.items() if (name, part) != ("default", None)}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    return kept


def _attributes(owner: type) -> Iterator[tuple[str, str]]:
    """What a class's docstring says of its attributes."""
    names: list[str] = []
    said = ""
    for line in [*inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")[2].splitlines(), ""]:
        begun = _ATTRIBUTE.fullmatch(line)
        if begun is None and line.strip():
            said += f" {line.strip()}"
            continue
        yield from ((name, said) for name in names)
        names, said = (begun[1].split(", "), begun[2]) if begun else ([], "")
