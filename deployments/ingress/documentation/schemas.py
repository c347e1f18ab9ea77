"""JSON schemas of requests and answers, made from the tables and types that the routes themselves use.

They only describe: requests are checked by the tables' coercions and the core's `GenerationRequest`.
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
from deployments.ingress.documentation.reasoner_schemas import REASONER_REQUESTS
from deployments.ingress.requests import action_request
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.coercions import JsonSchema

REF_TEMPLATE = "#/components/schemas/{model}"
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "enum")
PARAMETERS = "ActionParameters"
BODIES = {
    "VideoRequest": tables.VIDEO,
    PARAMETERS: tables.ACTION,
    "ImageRequest": tables.IMAGE,
    "EditRequest": tables.EDIT,
}
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
    schemas["ActionEnvelope"]["properties"]["parameters"] = schema_ref(PARAMETERS)
    # Inside the envelope, the instruction comes from `input`.
    schemas[PARAMETERS].pop("required")
    return schemas | REASONER_REQUESTS


def schema_ref(name: str) -> JsonSchema:
    """A reference to a schema."""
    return {"$ref": REF_TEMPLATE.format(model=name)}


def body_schema(schema: tables.Schema) -> JsonSchema:
    """The schema of a generation route's body: its fields, their aliases, and the objects of further fields."""
    properties = {name: _property(name, schema) for name in schema.accepted}
    for alias, name in tables.ALIASES.items():
        if alias not in properties and schema.coercion(alias) and not schema.refusal(alias):
            properties[alias] = {**_property(name, schema), "description": f"Another name of `{name}`."}
    properties |= {name: _container(name) for name in (tables.FILLER, *tables.CONTAINERS, *tables.MERGED)}
    without_effect = ", ".join(sorted(tables.COSMETIC))
    return {
        "type": "object",
        "description": (
            "Null and empty values count as left out. Unknown fields are ignored, and the answer names them in "
            f"`X-Ignored-Fields`. Accepted without effect: {without_effect}."
        ),
        "properties": properties,
        "required": ["prompt"],
    }


def _property(name: str, schema: tables.Schema) -> JsonSchema:
    canonical = tables.ALIASES.get(name, name)
    coercion = schema.accepted.get(name) or schema.accepted[canonical]
    core = _core_keywords().get(canonical, {})
    if "anyOf" in coercion.schema:
        # The core's limits hold for one of the forms only.
        core = {keyword: value for keyword, value in core.items() if keyword not in LIMITS}
    return {keyword: value for keyword, value in (core | coercion.schema).items() if value is not None}


def _container(name: str) -> JsonSchema:
    precedence = "take precedence over the same fields outside"
    if name == tables.FILLER:
        precedence = "yield to the same fields outside"
    if name in tables.MERGED:
        precedence = "count as if they were outside, and must not contradict those that are"
    return {
        "description": f"Further fields, as an object or as JSON text. They {precedence}.",
        "anyOf": [{"type": "object"}, {"type": "string"}],
        "examples": [{"seed": 7}],
    }


class _Lenient(GenerateJsonSchema):
    """Takes any value where JSON has no type, such as for numpy arrays."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


@cache
def _core_keywords() -> dict[str, JsonSchema]:
    """Description, default and limits of the fields of the core's request."""
    schema = GenerationRequest.model_json_schema(schema_generator=_Lenient)
    definitions, descriptions = schema.get("$defs", {}), dict(_attributes(GenerationRequest))
    keywords = {}
    for name, field in schema["properties"].items():
        kept = ("default", *LIMITS)
        found = {keyword: value for keyword, value in _unwrapped(field, definitions).items() if keyword in kept}
        description = descriptions.get(name, "")
        keywords[name] = {"description": description[:1].upper() + description[1:]} | found
    return keywords


def _unwrapped(schema: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """A schema with its reference resolved and without null, which counts as left out."""
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]] | schema
    if "anyOf" in schema:
        inner = next(part for part in schema["anyOf"] if part.get("type") != "null")
        return _unwrapped(inner, definitions) | schema
    return schema


def _typed(types: tuple[type, ...]) -> dict[str, JsonSchema]:
    """Schemas of types and of the types of their fields, with descriptions from their docstrings."""
    mode: Literal["validation"] = "validation"
    adapters: list[tuple[type, Literal["validation"], TypeAdapter[Any]]]
    adapters = [(described, mode, TypeAdapter(described)) for described in types]
    _, generated = TypeAdapter.json_schemas(adapters, ref_template=REF_TEMPLATE)
    schemas: dict[str, JsonSchema] = {name: _without_titles(schema) for name, schema in generated["$defs"].items()}
    for name, owner in _owners(types).items():
        schema = schemas[name]
        schema["description"] = inspect.cleandoc(owner.__doc__ or "").partition("\n\nAttributes:")[0]
        for base in owner.__mro__:
            if base.__module__.startswith(OURS):
                for field, description in _attributes(base):
                    schema["properties"][field].setdefault("description", description)
    return schemas


def _owners(types: Iterable[Any]) -> dict[str, type]:
    """The classes with fields among some types and the types of their fields, by name."""
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
    """Remove the titles that pydantic makes of names, and the defaults that are null."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _without_titles(part) for name, part in schema.items() if (name, part) != ("default", None)}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    return kept


def _attributes(owner: type) -> Iterator[tuple[str, str]]:
    """The names of a class's attributes and their descriptions in its docstring."""
    names: list[str] = []
    description = ""
    for line in [*inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")[2].splitlines(), ""]:
        entry = _ATTRIBUTE.fullmatch(line)
        if entry is None and line.strip():
            description += f" {line.strip()}"
            continue
        yield from ((name, description) for name in names)
        names, description = (entry[1].split(", "), entry[2]) if entry else ([], "")
