"""Bounds on schemas, expressions and grammars, wherever a request may have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner import constraints
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.completion import read_completion
from deployments.ingress.requests.reasoner.responses import read_responses

MESSAGES = {"messages": [{"role": "user", "content": "a robot"}]}
EXPLODES = "(a{1,1000}){1,1000}"


def properties(**schemas: Any) -> dict[str, Any]:
    return {"type": "object", "properties": schemas}


def tool(name: str = "shown", *, strict: bool = False, **schemas: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "strict": strict, "parameters": properties(**schemas)}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def in_chat(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {"regex": EXPLODES}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": "x" * 20_000}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": "[a-z]?" * 65}}, "structured_outputs.regex"),
        ({"structured_outputs": {"whitespace_pattern": EXPLODES}}, "structured_outputs.whitespace_pattern"),
        ({"structured_outputs": {"grammar": "x" * 70_000}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"grammar": "root ::= x\n" * 1001}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"choice": ["x"] * 2049}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": ["x" * 1000] * 100}}, "structured_outputs.choice"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        (
            {"structured_outputs": {"json": json.dumps(properties(a={"pattern": EXPLODES}))}},
            "structured_outputs.json.properties.a.pattern",
        ),
        (
            {"structured_outputs": {"structural_tag": json.dumps({"format": {"pattern": EXPLODES}})}},
            None,
        ),
        (in_chat(properties(a={"pattern": EXPLODES})), "response_format.json_schema.schema.properties.a.pattern"),
        (
            in_chat(properties(default={"pattern": EXPLODES})),
            "response_format.json_schema.schema.properties.default.pattern",
        ),
        (in_chat({"items": [{"anyOf": [{"pattern": EXPLODES}]}]}), None),
        (in_chat({"patternProperties": {EXPLODES: {}}}), "response_format.json_schema.schema.patternProperties"),
        (in_chat({"enum": ["x" * 100] * 3000}), "response_format"),
        (in_chat({"anyOf": [{"const": number} for number in range(257)]}), "response_format.json_schema.schema.anyOf"),
        (in_chat(properties(**{f"f{number}": {"maxLength": 50 + number} for number in range(33)})), None),
        (in_chat(properties(**{f"f{number}": {"pattern": "x*y*z*" * 5} for number in range(20)})), None),
        (
            {"tools": [tool(a={"pattern": EXPLODES})], "tool_choice": "required"},
            "tools.0.function.parameters.properties.a.pattern",
        ),
        ({"tools": [tool(), tool("used", a={"pattern": EXPLODES})], "tool_choice": named("used")}, None),
        ({"tools": [tool(a={"pattern": EXPLODES})], "tool_choice": {"type": "allowed_tools"}}, None),
        ({"tools": [tool(strict=True, a={"pattern": EXPLODES})]}, None),
        ({"response_format": {"type": "structural_tag", "structures": [{"schema": {"pattern": EXPLODES}}]}}, None),
    ],
)
def test_what_is_too_large_is_refused_with_its_field(fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(ApiError, match=r"expected|valid JSON") as caught:
        read_chat(MESSAGES | fields)
    assert caught.value.status == 400 and caught.value.param is not None
    assert param in (None, caught.value.param)


def test_the_other_routes() -> None:
    with pytest.raises(ApiError) as caught:
        read_completion({"prompt": "x", "structured_outputs": {"regex": EXPLODES}})
    assert caught.value.param == "structured_outputs.regex"
    with pytest.raises(ApiError) as caught:
        read_responses({"input": "x", "text": {"format": {"type": "json_schema", "schema": {"pattern": EXPLODES}}}})
    assert caught.value.param == "text.format.schema.pattern"
    with pytest.raises(ApiError) as caught:
        tools = [{"type": "function", "name": "used", "parameters": {"pattern": EXPLODES}}]
        read_responses({"input": "x", "tools": tools, "tool_choice": {"type": "function", "name": "used"}})
    assert caught.value.param == "tools.0.parameters.pattern"


UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MANY_LENGTHS: dict[str, Any] = {f"f{number}": {"maxLength": 50 + number} for number in range(33)}
LENGTHS = [tool(**MANY_LENGTHS)]
RECURSIVE = {"$ref": "#/$defs/tree", "$defs": {"tree": properties(left={"$ref": "#/$defs/tree"})}}


@pytest.mark.parametrize(
    "fields",
    [
        in_chat(properties(**{f"field_{number}": {"type": "string"} for number in range(500)})),
        in_chat(properties(pattern={"type": "string"}, grammar={"type": "string"}, maxLength={"type": "integer"})),
        in_chat({"enum": [f"value {number}" for number in range(2000)]}),
        in_chat(properties(**{f"f{number}": {"type": "string", "maxLength": 100} for number in range(200)})),
        in_chat(RECURSIVE),
        {"structured_outputs": {"json": json.dumps(RECURSIVE)}},
        {"structured_outputs": {"regex": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})"}},
        {"structured_outputs": {"regex": "|".join(f"word{number}" for number in range(1000))}},
        {"structured_outputs": {"choice": [f"label {number}" for number in range(1000)]}},
        {"structured_outputs": {"grammar": "root ::= item+\nitem ::= [a-z]+ ' '"}},
        in_chat({"maxLength": 10_000_000, "maxItems": 2**31 - 1}),
        in_chat({"pattern": r"^[\s\S]{0,20000}$"}),
        {"tools": [tool(a={"pattern": UUID}) for _ in range(60)], "tool_choice": "required"},
        {"tools": LENGTHS},
        {"tools": LENGTHS, "tool_choice": "auto"},
        {"tools": [tool("used"), *LENGTHS], "tool_choice": named("used")},
        {"structured_outputs": None},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_people_ask_for_passes(fields: dict[str, Any]) -> None:
    assert read_chat(MESSAGES | fields).body["messages"]


def test_bounds_count_each_tool_on_its_own() -> None:
    tools = [tool(a={"maxLength": 10 + number}) for number in range(constraints.MAX_LENGTHS + 1)]
    assert read_chat(MESSAGES | {"tools": tools, "tool_choice": "required"}).body["tools"]
    with pytest.raises(ApiError, match="different lengths"):
        read_chat(MESSAGES | {"tools": LENGTHS, "tool_choice": "required"})
