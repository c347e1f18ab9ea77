"""What a chat refuses because it makes something else than text, and where its fields may be."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.completion import read_completion
from deployments.ingress.requests.reasoner.fields import OF_DIFFUSION, with_merged
from deployments.ingress.requests.reasoner.responses import read_responses
from tests.ingress.stubs import StubGraph, ask, served_card

MESSAGES = {"messages": [{"role": "user", "content": "a robot"}]}


def refused(fields: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_chat(MESSAGES | fields)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("field", OF_DIFFUSION)
def test_a_chat_that_asks_for_a_picture_is_refused_with_the_route_that_makes_one(field: str) -> None:
    for value in (2, "2", {"seed": 1}, [1]):
        error = refused({field: value})
        assert error.param == field and "POST /v1/images/generations makes pictures" in error.message
    for read, body in ((read_completion, {"prompt": "x"}), (read_responses, {"input": "x"})):
        with pytest.raises(ApiError, match="POST /v1/images/generations"):
            read({**body, field: 2})


@pytest.mark.parametrize("field", [*OF_DIFFUSION, "modalities", "audio"])
@pytest.mark.parametrize("value", [None, "", [], {}])
def test_nothing_asks_for_nothing(field: str, value: Any) -> None:
    assert read_chat(MESSAGES | {field: value}).body["messages"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"modalities": ["image"]}, "modalities"),
        ({"modalities": ["text", "image"]}, "modalities"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": "image"}, "modalities"),
        ({"modalities": ["video"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"tools": [{"type": "function"}, {"type": "image_generation"}]}, "tools.1"),
        ({"fps": 4}, "fps"),
        ({"num_frames": 17}, "num_frames"),
    ],
)
def test_other_ways_to_ask_for_more_than_text(fields: dict[str, Any], param: str) -> None:
    assert refused(fields).param == param


def test_text_alone_is_what_a_chat_answers_with() -> None:
    fields = {"modalities": ["text"], "n": 2, "seed": 7, "response_format": {"type": "json_object"}, "top_k": 5}
    assert read_chat(MESSAGES | fields).body == MESSAGES | fields


@pytest.mark.parametrize("name", ["extra_body", "extra_json"])
def test_extra_body_is_what_openais_client_makes_of_it(name: str) -> None:
    extra = {"top_k": 5, "mm_processor_kwargs": {"fps": 4}}
    assert with_merged(MESSAGES | {name: extra}) == MESSAGES | extra
    assert with_merged(MESSAGES | {"top_k": 5, "seed": None, name: {"top_k": 5, "seed": 7}})["seed"] == 7
    assert with_merged(MESSAGES | {name: None}) == MESSAGES


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"seed": 1, "extra_body": {"seed": 2}}, "extra_body.seed"),
        ({"extra_body": {"top_k": 1}, "extra_json": {"top_k": 2}}, "extra_json.top_k"),
        ({"extra_body": [1]}, "extra_body"),
        ({"extra_body": "{}x"}, "extra_body"),
        ({"extra_json": 3}, "extra_json"),
    ],
)
def test_extra_bodies_that_are_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        with_merged(body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
@pytest.mark.parametrize(
    "extra", [{"height": 512, "width": 512}, {"num_inference_steps": 4}, {"modalities": ["image"]}]
)
def test_it_is_refused_over_http(path: str, extra: dict[str, Any], facts: ModelFacts) -> None:
    body = MESSAGES | {"prompt": "x", "input": "x", "extra_body": extra}
    answer = ask(StubGraph([served_card(facts)]), path, "POST", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(extra)))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/videos"])
def test_a_request_without_a_body_is_told_what_is_missing(path: str, facts: ModelFacts) -> None:
    error = ask(StubGraph([served_card(facts)]), path, "POST").json()["error"]
    missing = {"/v1/chat/completions": "messages", "/v1/images/edits": "image"}.get(path, "prompt")
    assert missing in error["message"] and "Media Type" not in error["message"], error
