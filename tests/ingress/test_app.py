"""The application over a graph that is not there: liveness, readiness, models, and what has no route."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.modes import Mode
from cosmos3_core.resolve import ModelFacts
from deployments.ingress.app import ROUTES, create_app
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.routes.models import chat_model, generation_model
from deployments.model import ModelCard
from deployments.settings import FrontSettings

Find = Callable[[Graph, str | None], ServedCard]
READY = ("/health", "/ping", "/v1/health/ready")


@dataclass
class StubGraph:
    """As much of the graph as these routes use."""

    served: list[ServedCard] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    settings: FrontSettings = field(default_factory=FrontSettings)

    def models(self) -> list[ServedCard]:
        return self.served

    async def ready_models(self) -> list[ServedCard]:
        return [] if self.reasons else self.served

    def missing(self) -> list[str]:
        return self.absent

    async def unready(self) -> dict[str, str]:
        if self.failure is not None:
            raise self.failure
        return self.reasons


@pytest.fixture(scope="module")
def facts(nano: Path) -> ModelFacts:
    return Checkpoint.find(str(nano)).facts


@pytest.fixture
def cards(facts: ModelFacts) -> Callable[..., StubGraph]:
    def graph(*names: str, **fields: Any) -> StubGraph:
        given: dict[str, Any] = {"root": "tiny:nano", "chats": True, "generates": True, "max_model_len": None}
        made = [ModelCard(name=name, facts=facts, decoder="decoder", **given | fields) for name in names]
        return StubGraph([ServedCard(card, f"app-{card.name}") for card in made])

    return graph


def as_graph(stub: StubGraph) -> Graph:
    return cast(Graph, stub)


def ask(stub: StubGraph, path: str, method: str = "GET", echo: bool = True, **options: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        app = create_app(as_graph(stub), echo)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())


def refused(find: Find, stub: StubGraph, name: str | None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        find(as_graph(stub), name)
    return caught.value


def test_it_lives_whatever_the_graph_does() -> None:
    answer = ask(StubGraph(reasons={"nano": "is not deployed"}), "/v1/health/live")
    assert answer.status_code == 200
    assert answer.json() == {"object": "health.response", "message": "Service is live", "status": "live"}


@pytest.mark.parametrize(("path", "method"), [("/health", "GET"), ("/ping", "GET"), ("/ping", "POST")])
def test_healthy(path: str, method: str) -> None:
    answer = ask(StubGraph(), path, method)
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_unhealthy_says_what_is_missing(path: str) -> None:
    reasons = {"nano/Generator": "updating", "decoder": "is not deployed"}
    answer = ask(StubGraph(reasons=reasons), path)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unhealthy",
        "reason": "decoder: is not deployed, nano/Generator: updating",
        "stages": reasons,
    }


def test_ready_as_nim_says_it() -> None:
    answer = ask(StubGraph(), "/v1/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"object": "health.response", "message": "Service is ready", "status": "ready"}
    answer = ask(StubGraph(reasons={"nano": "is not deployed"}), "/v1/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"object": "health.response", "message": "Service is not ready", "status": "not_ready"}


def test_the_version() -> None:
    assert ask(StubGraph(), "/version").json() == {"version": version("cosmos3")}


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/v2/models", "/v1/videos/a/b", "/health/x"])
def test_no_such_route(path: str) -> None:
    answer = ask(StubGraph(), path, headers={"x-request-id": "abc"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["message"].startswith("there is no route GET ")
    assert (error["code"], error["type"], error["param"], error["request_id"]) == (404, "Not Found", None, "abc")


def test_the_route_that_is_not_there_is_named() -> None:
    assert ask(StubGraph(), "/v1/nowhere").json()["error"]["message"] == "there is no route GET /v1/nowhere"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/images/generations"),
        ("PUT", "/v1/videos"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/nano"),
        ("PUT", "/v1/videos/video_gen_1"),
        ("POST", "/health"),
        ("PUT", "/ping"),
    ],
)
def test_no_such_method(method: str, path: str) -> None:
    answer = ask(StubGraph(), path, method, headers={"x-request-id": "abc"})
    assert answer.status_code == 405
    assert method not in answer.headers["allow"].split(", ")
    assert answer.json()["error"] == {
        "message": f"{method} is not allowed on {path}",
        "type": "Method Not Allowed",
        "param": None,
        "code": 405,
        "request_id": "abc",
    }


def test_all_allowed_methods_are_named() -> None:
    answer = ask(StubGraph(), "/v1/videos/video_gen_1", "PUT")
    assert {"GET", "DELETE"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("echo", [True, False])
def test_the_id_is_echoed_where_it_shall_be(echo: bool) -> None:
    for path in ("/version", "/nowhere"):
        answer = ask(StubGraph(), path, echo=echo, headers={"x-request-id": "abc"})
        assert answer.headers.get("x-request-id") == ("abc" if echo else None)


def test_every_route_is_there_once() -> None:
    named = [(route.path, method) for route in ROUTES for method in route.methods or ()]
    assert len(named) == len(set(named))


def test_refusals_of_routes_are_envelopes() -> None:
    failure = ApiError(503, "later", headers={"Retry-After": "5"})
    answer = ask(StubGraph(failure=failure), "/health")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "later"


def test_what_nobody_expected_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"):
        answer = ask(StubGraph(failure=KeyError("/srv/secret/key")), "/health", headers={"x-request-id": "abc"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["request_id"]) == (500, 500, "abc")
    assert "secret" not in answer.text and "log" in error["message"]
    assert any(record.exc_info for record in caplog.records)


def test_the_log_of_what_nobody_expected_has_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"):
        ask(StubGraph(failure=KeyError("secret")), "/health", headers={"x-request-id": "abc"})
    assert all(record.getMessage().startswith("[abc]") for record in caplog.records)


def test_no_models() -> None:
    assert ask(StubGraph(), "/v1/models").json() == {"object": "list", "data": []}


def test_models_that_are_not_up_yet(cards: Callable[..., StubGraph]) -> None:
    for stub in (StubGraph(absent=["nano"]), replace(cards("nano"), reasons={"app-nano/Generator": "updating"})):
        answer = ask(stub, "/v1/models")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json()["error"]["message"] == "no model is ready yet"


def test_models_are_listed_in_the_graphs_order(cards: Callable[..., StubGraph]) -> None:
    answer = ask(cards("b", "a", "org/c"), "/v1/models").json()
    assert answer["object"] == "list"
    assert [entry["id"] for entry in answer["data"]] == ["b", "a", "org/c"]


def test_an_entry(cards: Callable[..., StubGraph], facts: ModelFacts) -> None:
    (entry,) = ask(cards("nano", root="nvidia/Cosmos3-Nano", max_model_len=4096), "/v1/models").json()["data"]
    assert entry.pop("created") > 0
    assert entry == {
        "id": "nano",
        "object": "model",
        "owned_by": "cosmos3",
        "root": "nvidia/Cosmos3-Nano",
        "parent": None,
        "permission": [],
        "abilities": {"chat": True, "modes": [mode.value for mode in Mode], "sound": facts.sound is not None},
        "max_model_len": 4096,
    }


def test_an_entry_of_a_model_that_only_chats(cards: Callable[..., StubGraph]) -> None:
    (entry,) = ask(cards("nano", generates=False), "/v1/models").json()["data"]
    assert entry["abilities"] == {"chat": True, "modes": [], "sound": False}
    assert "max_model_len" not in entry


@pytest.mark.parametrize("root", ["/srv/models/nano", "/srv/nano", "./models", "~/models", "a/b/c", "models", "../x"])
def test_folders_are_not_shown(cards: Callable[..., StubGraph], root: str) -> None:
    assert ask(cards("nano", root=root), "/v1/models").json()["data"][0]["root"] == "nano"


@pytest.mark.parametrize("name", ["nano", "nvidia/Cosmos3-Nano", "a/b/c", "with space", "é", "100%", "a?b", "a#b"])
def test_one_model(cards: Callable[..., StubGraph], name: str) -> None:
    stub = cards("other", name)
    encoded = "".join(f"%{byte:02X}" if byte != ord("/") else "/" for byte in name.encode())
    answer = ask(stub, f"/v1/models/{encoded}")
    assert (answer.status_code, answer.json()) == (200, ask(stub, "/v1/models").json()["data"][1])


def test_an_escaped_slash_is_a_slash(cards: Callable[..., StubGraph]) -> None:
    assert ask(cards("nvidia/Cosmos3-Nano"), "/v1/models/nvidia%2FCosmos3-Nano").json()["id"] == "nvidia/Cosmos3-Nano"


@pytest.mark.parametrize("name", ["nan", "nano2", "NANO", "nvidia/nano", "x" * 5000])
def test_an_unknown_model_is_not_found(cards: Callable[..., StubGraph], name: str) -> None:
    answer = ask(cards("nano", "edge"), f"/v1/models/{name}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (404, 404, "NotFoundError", "model")
    assert error["message"] == f"The model {name[:200]} does not exist; served: nano, edge"


def test_an_unknown_model_may_still_come(cards: Callable[..., StubGraph]) -> None:
    answer = ask(replace(cards("nano"), absent=["edge"]), "/v1/models/edge")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "model edge is not ready or not served"


@pytest.mark.parametrize("find", [chat_model, generation_model])
@pytest.mark.parametrize(("name", "application"), [("b", "app-b"), ("a", "app-a"), (None, "app-b"), ("", "app-b")])
def test_which_model_is_meant(cards: Callable[..., StubGraph], find: Find, name: str | None, application: str) -> None:
    assert find(as_graph(cards("b", "a")), name).application == application


def test_without_a_name_the_first_one_that_can(cards: Callable[..., StubGraph]) -> None:
    chats, generates = cards("chats", generates=False), cards("generates", chats=False)
    both = as_graph(StubGraph(generates.served + chats.served))
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
def test_a_model_that_may_still_come_is_worth_a_retry(find: Find, name: str | None) -> None:
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


def test_an_unknown_model_of_a_chat_is_refused_by_the_route(cards: Callable[..., StubGraph]) -> None:
    body = {"model": "edge", "messages": [{"role": "user", "content": "hi"}]}
    answer = ask(cards("nano"), "/v1/chat/completions", "POST", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")


def test_an_unknown_model_of_a_video_is_refused_by_the_route(cards: Callable[..., StubGraph]) -> None:
    answer = ask(cards("nano"), "/v1/videos", "POST", data={"model": "edge", "prompt": "a robot"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_errors_are_json_of_one_form() -> None:
    for path, method in (("/nowhere", "GET"), ("/version", "POST"), ("/v1/models/x", "GET")):
        answer = ask(StubGraph(), path, method)
        assert answer.headers["content-type"] == "application/json"
        assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code", "request_id"}
        assert len(answer.json()["error"]["request_id"]) == 32
