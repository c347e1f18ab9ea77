"""The model that a request is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.model_choice import chat_model, generation_model
from tests.ingress.stubs import StubGraph, ask

Find = Callable[[Graph, str | None], ServedCard]


def refused(find: Find, stub: StubGraph, name: str | None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        find(stub.as_graph(), name)
    return caught.value


@pytest.mark.parametrize("find", [chat_model, generation_model])
@pytest.mark.parametrize(("name", "application"), [("b", "app-b"), ("a", "app-a"), (None, "app-b"), ("", "app-b")])
def test_the_model_of_a_request(
    cards: Callable[..., StubGraph], find: Find, name: str | None, application: str
) -> None:
    assert find(cards("b", "a").as_graph(), name).application == application


def test_without_a_name_it_is_the_first_model_that_can(cards: Callable[..., StubGraph]) -> None:
    chats, generates = cards("chats", generates=False), cards("generates", chats=False)
    both = StubGraph(generates.served + chats.served).as_graph()
    assert chat_model(both, None).card.name == "chats"
    assert generation_model(both, None).card.name == "generates"


@pytest.mark.parametrize(("find", "status"), [(chat_model, 404), (generation_model, 400)])
def test_an_unknown_model_is_refused(cards: Callable[..., StubGraph], find: Find, status: int) -> None:
    error = refused(find, cards("nano"), "edge")
    assert (error.status, error.param) == (status, "model")
    assert "edge" in error.message and error.message.endswith("served: nano")
    assert refused(find, StubGraph(), "edge").message.endswith("served: none")


@pytest.mark.parametrize("find", [chat_model, generation_model])
@pytest.mark.parametrize("name", ["edge", None])
def test_a_model_that_may_still_be_starting_is_a_503(find: Find, name: str | None) -> None:
    error = refused(find, StubGraph(absent=["edge"]), name)
    assert (error.status, error.headers) == (503, {"Retry-After": "5"})


@pytest.mark.parametrize(
    ("find", "lacks", "verb"), [(chat_model, "chats", "chat"), (generation_model, "generates", "generate images")]
)
def test_a_model_that_cannot(cards: Callable[..., StubGraph], find: Find, lacks: str, verb: str) -> None:
    stub = cards("nano", **{lacks: False})
    named, unnamed = refused(find, stub, "nano"), refused(find, stub, None)
    assert (named.status, unnamed.status, named.param) == (400, 400, "model")
    assert named.message.startswith(f"model nano does not {verb}")
    assert unnamed.message.startswith(f"no model here can {verb}")


def test_an_unknown_model_of_a_chat(cards: Callable[..., StubGraph]) -> None:
    body = {"model": "edge", "messages": [{"role": "user", "content": "hi"}]}
    answer = ask(cards("nano"), "/v1/chat/completions", "POST", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")


def test_an_unknown_model_of_a_video(cards: Callable[..., StubGraph]) -> None:
    answer = ask(cards("nano"), "/v1/videos", "POST", data={"model": "edge", "prompt": "a robot"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
