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
        (in_chat({"maxLength": 10**12}), "response_format.json_schema.schema.maxLength"),
        (in_chat(properties(**{f"f{number}": {"maxLength": 50 + number} for number in range(33)})), None),
        (in_chat(properties(**{f"f{number}": {"pattern": "x*y*z*" * 5} for number in range(20)})), None),
        ({"tools": [{"type": "function", "function": {"parameters": properties(a={"pattern": EXPLODES})}}]}, None),
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
        read_responses({"input": "x", "tools": [{"type": "function", "parameters": {"pattern": EXPLODES}}]})
    assert caught.value.param == "tools.0.parameters.pattern"


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
        {"structured_outputs": None},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_people_ask_for_passes(fields: dict[str, Any]) -> None:
    assert read_chat(MESSAGES | fields).body["messages"]


def test_bounds_count_all_schemas_of_a_request_together() -> None:
    tools = [
        {"type": "function", "function": {"parameters": properties(a={"maxLength": 10 + number})}}
        for number in range(constraints.MAX_LENGTHS + 1)
    ]
    assert read_chat(MESSAGES | {"tools": tools[1:]}).body["tools"]
    with pytest.raises(ApiError, match="different lengths"):
        read_chat(MESSAGES | {"tools": tools})
