"""The model that a request is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests import model_choice
from deployments.ingress.requests.model_choice import chat_model
from deployments.wire.media_store import MediaStore
from tests.ingress.requests.reading import PNG, edit, uri, video
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

Find = Callable[[Graph, str | None], ServedCard]


def generation_model(graph: Graph, name: str | None) -> ServedCard:
    return model_choice.generation_model(graph, video({"model": name}))


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


@pytest.fixture
def family(facts: ModelFacts) -> StubGraph:
    """A model that only animates images, one without sound and actions, and one that does everything."""
    animates = replace(facts, modes=(Mode.IMAGE_TO_VIDEO,))
    silent = replace(facts, sound=None, config=replace(facts.config, action_gen=False, sound_gen=False))
    models = {"animates": animates, "silent": silent, "whole": facts}
    return StubGraph([served_card(known, name) for name, known in models.items()])


SOUND = {"generate_sound": True}
POLICY = {"mode": "policy", "domain_name": "av", "image": uri(PNG)}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "silent"),
        ({"image": uri(PNG)}, "animates"),
        (SOUND, "whole"),
        (SOUND | {"image": uri(PNG)}, "animates"),
        (POLICY, "whole"),
    ],
)
def test_without_a_name_it_is_the_first_model_that_can_do_what_is_asked_for(
    family: StubGraph, fields: dict[str, Any], name: str
) -> None:
    assert model_choice.generation_model(family.as_graph(), video(fields)).card.name == name
    assert model_choice.generation_model(family.as_graph(), edit({"image": uri(PNG)})).card.name == "silent"


@pytest.mark.parametrize(
    ("fields", "param", "reason", "able"),
    [
        ({"model": "animates"}, "mode", "is text2video; this checkpoint does image2video", "silent"),
        ({"model": "silent", "enable_audio": True}, "enable_audio", "has no sound weights", "whole"),
        (POLICY | {"model": "silent"}, "mode", "is policy; this checkpoint has no action weights", "whole"),
        ({"model": "silent", "action_mode": "policy"}, "action_mode", "has no action weights", "whole"),
    ],
)
def test_a_named_model_that_cannot_do_it(
    family: StubGraph, fields: dict[str, Any], param: str, reason: str, able: str
) -> None:
    with pytest.raises(ApiError) as caught:
        model_choice.generation_model(family.as_graph(), video(fields))
    assert (caught.value.status, caught.value.param) == (400, param)
    assert reason in caught.value.message and caught.value.message.endswith(f"; model {able} can do it")


def test_what_no_model_can_do(family: StubGraph) -> None:
    stub = StubGraph(family.served[:1])
    for fields in ({}, {"model": "animates"}):
        with pytest.raises(ApiError) as caught:
            model_choice.generation_model(stub.as_graph(), video(fields))
        assert caught.value.status == 400
        assert caught.value.message.endswith("this checkpoint does image2video; no model here can do it")
    stub.absent = ["whole"]
    assert refused(generation_model, stub, None).status == 503, "it may be able to"
    assert refused(generation_model, stub, "animates").status == 400


def test_a_request_goes_to_the_model_that_can_do_it(family: StubGraph, tmp_path: Path) -> None:
    family.media, family.jobs = MediaStore(tmp_path.as_uri()), StubJobs()
    body = {"prompt": "a robot", "size": "64x64", "num_frames": 5}
    assert ask(family, "/v1/videos", "POST", json=body | SOUND).json()["model"] == "whole"
    refusal = ask(family, "/v1/images/edits", "POST", json={"prompt": "x", "image": uri(PNG), "model": "animates"})
    assert refusal.status_code == 400 and "; model silent can do it" in refusal.json()["error"]["message"]
