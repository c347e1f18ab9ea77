"""Pydantic's errors about a chat become one field of the client's and what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from deployments.reasoner.refusals import refusal_of


class Text(BaseModel):
    type: Literal["text", "json_schema"]


class Tag(BaseModel):
    type: Literal["tag"]
    triggers: list[str]


class Function(BaseModel):
    name: str


class Tool(BaseModel):
    function: Function


class Chat(BaseModel):
    """As vLLM's type: unions at several depths."""

    temperature: Annotated[float, Field(le=2)] = 1
    stop: str | list[str] = ""
    response_format: Text | Tag | None = None
    tools: list[Tool] = []
    logit_bias: dict[str, float] = {}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (
            {"temperature": "hot"},
            "temperature",
            "temperature: Input should be a valid number, unable to parse string as a number",
        ),
        ({"temperature": 3}, "temperature", "temperature: Input should be less than or equal to 2"),
        (
            {"response_format": {"type": "x"}},
            "response_format.type",
            "response_format.type: Input should be 'text' or 'json_schema'; Input should be 'tag'",
        ),
        ({"stop": ["a", 1]}, "stop.1", "stop.1: Input should be a valid string"),
        (
            {"stop": {"a": 1}},
            "stop",
            "stop: Input should be a valid string; Input should be a valid list",
        ),
        ({"tools": [{"type": "function"}]}, "tools.0.function", "tools.0.function is missing"),
        (
            {"logit_bias": {"a": "b"}},
            "logit_bias.a",
            "logit_bias.a: Input should be a valid number, unable to parse string as a number",
        ),
    ],
)
def test_one_field_of_the_clients_is_named(body: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Chat(**body)
    assert refusal_of(refused.value.errors(), body) == (field, message)


def test_an_error_about_no_field_of_the_clients_names_none() -> None:
    error = {"loc": (0, "ToolCall"), "type": "dict_type", "msg": "Input should be a valid dictionary", "input": "x"}
    assert refusal_of([error], {"messages": []}) == (None, "Input should be a valid dictionary")
