"""Schemas of forms, and which answers obey them."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from cosmos3_core.modes import Mode
from cosmos3_core.upsampling.schema import (
    FEWEST_CHARACTERS,
    LONG,
    MAX_ITEMS,
    MAX_TOKENS,
    TEXT_PER_TOKEN,
    JsonSchema,
    problem_in,
    schema_of,
)
from cosmos3_core.upsampling.template import NAMES, OWN_TEMPLATES, Template, TemplateError
from tests.core.upsampling.samples import FORM, answer_to

TOKENS = (1536, 2048, 8192, MAX_TOKENS)


def folders() -> list[Path]:
    given = os.environ.get("COSMOS3_ASSETS")
    return [OWN_TEMPLATES, *([Path(given) / "prompting"] if given else [])]


FORMS = [Template.read(folder, mode).form for folder in folders() for mode in NAMES]


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_schemas_are_valid_and_strict(form: Mapping[str, Any], tokens: int) -> None:
    if tokens < 2048 and form not in FORMS[: len(NAMES)]:
        pytest.skip("NVIDIA's form of a video does not fit")
    schema = schema_of(form, tokens)
    OAS31Validator.check_schema(schema)
    for part in parts(schema):
        if part["type"] == "object":
            assert part["required"] == list(part["properties"]) and part["additionalProperties"] is False
        elif part["type"] == "array":
            assert 0 <= part["minItems"] <= 1 <= part["maxItems"] <= MAX_ITEMS
        elif part["type"] == "string":
            assert part["maxLength"] >= FEWEST_CHARACTERS
        else:
            assert (part["type"], part["minimum"], part["maximum"]) == ("integer", 0, 99)


@pytest.mark.parametrize("tokens", TOKENS[1:])
@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_the_longest_answer_fits_its_tokens(form: Mapping[str, Any], tokens: int) -> None:
    schema = schema_of(form, tokens)
    longest = json.dumps(answer_to(schema, fullest=True))
    assert problem_in(json.loads(longest), schema) is None
    assert 0.5 * tokens * TEXT_PER_TOKEN < len(longest) <= tokens * TEXT_PER_TOKEN


def parts(schema: JsonSchema) -> list[JsonSchema]:
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(part for one in inner for part in parts(one))]


def test_what_each_kind_of_value_becomes() -> None:
    schema = schema_of(FORM, MAX_TOKENS)
    properties = schema["properties"]
    assert list(properties) == ["scene_imagination", "subjects", "lighting", "subject_details", "transitions"]
    subject = properties["subjects"]["items"]["properties"]
    assert subject["number_of_arms"] == {"type": "integer", "minimum": 0, "maximum": 99}
    assert properties["scene_imagination"]["maxLength"] == LONG * subject["description"]["maxLength"]
    assert (properties["subjects"]["minItems"], properties["transitions"]["minItems"]) == (1, 0)
    assert properties["subject_details"]["properties"] == {} and properties["subjects"]["maxItems"] == MAX_ITEMS
    assert schema_of({"a": 3, "b": "interior light"}, 200)["properties"]["a"]["type"] == "integer"
    assert schema_of({"a": 3, "b": "interior light"}, 200)["properties"]["b"]["type"] == "string"


def test_fewer_tokens_are_fewer_items_before_texts_get_short() -> None:
    form = Template.read(OWN_TEMPLATES, Mode.TEXT_TO_VIDEO).form
    found = [schema_of(form, tokens)["properties"]["subjects"]["maxItems"] for tokens in TOKENS]
    assert found == sorted(found) and (found[0], found[-1]) == (1, MAX_ITEMS)


def test_a_form_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TemplateError, match="too many fields for an answer of 100 tokens; raise max_tokens"):
        schema_of(Template.read(OWN_TEMPLATES, Mode.TEXT_TO_IMAGE).form, 100)


@pytest.mark.parametrize("value", [None, True, [], ["a", "b"], [None]])
def test_values_without_a_schema_are_refused(value: Any) -> None:
    with pytest.raises(TemplateError, match=r"the form's field a is .*; expected a text, a number, an object"):
        schema_of({"a": value}, 100)


def changed(place: str, value: Any) -> Any:
    """An answer to `FORM` with another value at a place; `...` removes what is there."""
    answer = copy.deepcopy(answer_to(schema_of(FORM, MAX_TOKENS)))
    *way, last = place.split(".")
    inner = answer
    for step in way:
        inner = inner[int(step) if isinstance(inner, list) else step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return answer


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([], "it is not of type object"),
        (changed("lighting", ...), "lighting is missing"),
        (changed("other", ""), "it has fields that the form does not have"),
        (changed("lighting.other", ""), "lighting has fields that the form does not have"),
        (changed("subject_details.key", ""), "subject_details has fields that the form does not have"),
        (changed("lighting.direction", 3), "lighting.direction is not of type string"),
        (changed("lighting.direction", None), "lighting.direction is not of type string"),
        (changed("subjects", []), "subjects has 0 items; expected 1 to 4"),
        (changed("transitions", [""] * 5), "transitions has 5 items; expected 0 to 4"),
        (changed("transitions", [3]), "transitions.0 is not of type string"),
        (changed("subjects.0.number_of_arms", 100), "subjects.0.number_of_arms is 100; expected 0 to 99"),
        (changed("subjects.0.number_of_arms", True), "subjects.0.number_of_arms is not of type integer"),
        (changed("subjects.0.number_of_arms", 2.5), "subjects.0.number_of_arms is not of type integer"),
        (changed("subjects.0.description", ...), "subjects.0.description is missing"),
    ],
)
def test_answers_that_disobey(answer: Any, problem: str) -> None:
    schema = schema_of(FORM, MAX_TOKENS)
    assert (problem_in(answer, schema) or "").startswith(problem)
    assert not OAS31Validator(schema).is_valid(answer), "an independent validator agrees"


def test_a_text_that_is_a_little_too_long_is_no_fault() -> None:
    """Bytes that are no UTF-8 become more characters than the decoder has counted."""
    schema = schema_of(FORM, MAX_TOKENS)
    longer = "x" * (schema["properties"]["lighting"]["properties"]["direction"]["maxLength"] + 2)
    assert problem_in(changed("lighting.direction", longer), schema) is None


@pytest.mark.parametrize("fullest", [False, True])
def test_answers_that_obey(fullest: bool) -> None:
    schema = schema_of(FORM, MAX_TOKENS)
    answer = answer_to(schema, fullest=fullest)
    assert problem_in(answer, schema) is None and OAS31Validator(schema).is_valid(answer)
