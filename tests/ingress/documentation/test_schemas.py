"""The schemas of requests and answers: they are true of what the routes read and answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, cast

import pytest
from openapi_schema_validator import OAS31Validator

from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.documentation.openapi import OPERATIONS
from deployments.ingress.documentation.reasoner_schemas import REASONER_REQUESTS
from deployments.ingress.documentation.schemas import BODIES, body_schema, components
from deployments.ingress.errors import ApiError
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.action_request import read_actions
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.generation import read_action, read_edit, read_image, read_video
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.references import PIXEL
from tests.ingress.documentation.documents import conforms
from tests.ingress.stubs import StubGraph, ask, served_card

PICTURES = {
    name
    for name in (*tables.EDIT.accepted, *tables.ALIASES)
    if tables.ALIASES.get(name, name) in ("input_reference", "image_reference", "url")
}
Reader = Callable[[dict[str, Any]], Any]
READERS: dict[str, Reader] = {
    "VideoRequest": lambda given: read_video(Body(given)),
    "ActionParameters": lambda given: read_action(Body(given)),
    "ImageRequest": read_image,
    "EditRequest": lambda given: read_edit(Body(given if PICTURES & given.keys() else given | {"image": PIXEL})),
}
NAMED = [(name, field) for name, schema in components().items() if name in BODIES for field in schema["properties"]]


def test_all_schemas_are_valid() -> None:
    for schema in components().values():
        OAS31Validator.check_schema(schema)


@pytest.mark.parametrize("name", BODIES)
def test_every_accepted_field_is_a_property(name: str) -> None:
    table, properties = BODIES[name], components()[name]["properties"]
    served = set(table.accepted) | {
        alias for alias in tables.ALIASES if table.coercion(alias) and not table.refusal(alias)
    }
    assert set(properties) == served | {tables.FILLER, *tables.CONTAINERS, *tables.MERGED}
    assert set(table.accepted).isdisjoint(table.refused)
    assert all(schema["description"] for schema in properties.values())


def examples(schema: dict[str, Any]) -> list[Any]:
    """What a schema says that a client may send."""
    if "examples" in schema:
        return cast(list[Any], schema["examples"])
    if "enum" in schema:
        return cast(list[Any], schema["enum"])
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    highest = schema.get("maximum", lowest)
    by_type: dict[str, list[Any]] = {
        "string": ["some text"],
        "boolean": [True, False],
        "integer": [lowest, highest],
        "number": [highest, 1],
    }
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [example for kind in kinds for example in by_type[kind]]


def companions(field: str, example: Any, clip: str) -> dict[str, Any]:
    """What a request needs beside some fields and modes."""
    by_mode: dict[str, dict[str, Any]] = {
        "image2video": {"input_reference": PIXEL},
        "video2video": {"input_reference": clip},
        "transfer": {"input_reference": clip, "edge": True},
    }
    by_field: dict[str, dict[str, Any]] = {
        "control_type": {"control_reference": clip},
        "control_reference": {"control_type": "depth"},
    }
    return by_field.get(field) or by_mode.get(str(example), {})


@pytest.mark.parametrize(("name", "field"), NAMED)
def test_described_values_are_read(name: str, field: str, mp4: bytes) -> None:
    clip = f"data:video/mp4;base64,{base64.b64encode(mp4).decode()}"
    schema = components()[name]["properties"][field]
    for example in [clip] if field == "video_reference" else examples(schema):
        OAS31Validator(schema).validate(example)
        READERS[name]({"prompt": "a robot", field: example} | companions(field, example, clip))


@pytest.mark.parametrize(("name", "field"), NAMED)
def test_described_limits_hold(name: str, field: str) -> None:
    schema = components()[name]["properties"][field]
    beyond = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 0}
    for limit in schema.keys() & beyond.keys():
        with pytest.raises(ApiError) as refused:
            READERS[name]({"prompt": "a robot", field: schema[limit] + beyond[limit]})
        assert refused.value.param == field


@pytest.mark.parametrize("name", BODIES)
def test_described_defaults_hold(name: str) -> None:
    generation = READERS[name]({"prompt": "a robot"})
    for field, schema in components()[name]["properties"].items():
        if "default" in schema and field in GenerationRequest.model_fields:
            taken = getattr(generation.request, field)
            assert (list(taken) if isinstance(taken, tuple) else taken) == schema["default"]
    if name in ("ImageRequest", "EditRequest"):
        properties = components()[name]["properties"]
        assert "default" not in properties["seed"]
        for attribute, field in {"n": "num_outputs_per_prompt"}.items() | {
            (field, field) for field in ("response_format", "output_format", "output_compression")
        }:
            assert getattr(generation, attribute) == properties[field]["default"]


def test_the_examples_of_requests_are_read() -> None:
    bodies = {op.body.schema: op.body.example for op in OPERATIONS.values() if op.body is not None}
    for name, example in bodies.items():
        conforms(example, name)
    generations = {"VideoRequest", "ImageRequest", "EditRequest", "ActionEnvelope"}
    assert set(bodies) == generations | REASONER_REQUESTS.keys()
    READERS["VideoRequest"](bodies["VideoRequest"])
    READERS["ImageRequest"](bodies["ImageRequest"])
    READERS["EditRequest"](bodies["EditRequest"])
    assert read_actions(Body(bodies["ActionEnvelope"])).generation.ignored == ()
    read_chat(bodies["ChatRequest"])


def test_a_field_that_is_refused_or_unknown_is_not_a_property() -> None:
    assert "control_path" not in components()["VideoRequest"]["properties"]
    assert "input_reference" not in components()["ImageRequest"]["properties"]
    schema = tables.Schema({"seed": tables.VIDEO.accepted["seed"]}, {"deterministic_seed": "is refused"})
    assert set(body_schema(schema)["properties"]) == {"seed", tables.FILLER, *tables.CONTAINERS, *tables.MERGED}


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/health", 200, "Healthy"),
        ("/v1/health/live", 200, "NimHealth"),
        ("/v1/health/ready", 200, "NimHealth"),
        ("/version", 200, "Version"),
        ("/v1/models", 200, "ModelList"),
        ("/v1/models/org/name", 200, "ModelEntry"),
        ("/v1/models/other", 404, "ErrorEnvelope"),
    ],
)
def test_answers_are_as_described(path: str, status: int, name: str, facts: ModelFacts) -> None:
    answer = ask(StubGraph([served_card(facts, "org/name", max_model_len=4096)]), path)
    assert answer.status_code == status
    conforms(answer.json(), name)


@pytest.mark.parametrize(("path", "name"), [("/health", "Unhealthy"), ("/v1/health/ready", "NimHealth")])
def test_a_server_that_is_not_ready_answers_as_described(path: str, name: str) -> None:
    answer = ask(StubGraph(reasons={"nano": "is not deployed"}), path)
    assert answer.status_code == 503
    conforms(answer.json(), name)
