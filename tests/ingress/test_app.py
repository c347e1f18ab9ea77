"""The application: its routes, its middleware and its error handlers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ray.exceptions import TaskCancelledError
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.app import ROUTES, create_app
from deployments.ingress.errors import ApiError
from deployments.jobs.job import JobEvent
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.settings.jobs import KeySettings
from deployments.wire.media_store import MediaStore
from tests.ingress.stubs import CompletedJobs, StubGraph, StubJobs, ask, served_card


class EndlessJobs(StubJobs):
    """Jobs whose events never end."""

    async def last_event(self, job_id: str, kind: str = "") -> JobEvent | None:
        return None

    async def watch(self, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
        await asyncio.Event().wait()
        yield JobEvent(1, "done", {}, 0.0)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/v2/models", "/v1/videos/a/b", "/health/x"])
def test_no_such_route(path: str) -> None:
    answer = ask(StubGraph(), path, headers={"x-request-id": "abc"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["message"].startswith("there is no route GET ")
    assert (error["code"], error["type"], error["param"], error["request_id"]) == (404, "Not Found", None, "abc")


def test_an_unknown_route_is_named() -> None:
    assert ask(StubGraph(), "/v1/nowhere").json()["error"]["message"] == "there is no route GET /v1/nowhere"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/images/generations"),
        ("PUT", "/v1/images/edits"),
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
def test_the_request_id_is_echoed_if_wanted(echo: bool) -> None:
    for path in ("/version", "/nowhere"):
        answer = ask(StubGraph(), path, echo=echo, headers={"x-request-id": "abc"})
        assert answer.headers.get("x-request-id") == ("abc" if echo else None)


@pytest.mark.parametrize("path", sorted({route.path_format for route in ROUTES}))
@pytest.mark.parametrize("root", ["", "/cosmos"])
def test_allow_names_the_methods_that_a_path_has(path: str, root: str) -> None:
    served = {method for route in ROUTES if route.path_format == path for method in route.methods or ()}
    path = path.replace("{id}", "video_gen_1").replace("{model}", "nvidia/nano")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
        answer = ask(StubGraph(jobs=StubJobs()), root + path, method, root=root)
        assert (answer.status_code == 405) is (method not in served), (method, answer.text)
        if answer.status_code == 405:
            assert answer.headers["allow"] == ", ".join(sorted(served)), method


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/nano", "/health", "/version", "/v1/videos/video_gen_1"])
@pytest.mark.parametrize("spell", ["{}/", "{}//", "/{}", "//{}///"])
def test_slashes_more_or_less_make_no_other_path(path: str, spell: str, facts: ModelFacts) -> None:
    stub = StubGraph([served_card(facts)], jobs=StubJobs())
    expected, found = ask(stub, path), ask(stub, f"http://server{spell.format(path)}")
    ids = {"x-request-id"}
    assert found.status_code == expected.status_code and found.status_code in (200, 404)
    assert {k: v for k, v in found.headers.items() if k not in ids} == {
        k: v for k, v in expected.headers.items() if k not in ids
    }


def test_a_body_arrives_at_a_path_with_a_slash() -> None:
    answer = ask(StubGraph(), "/v1/images/generations/", "POST", json={"prompt": 3})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


@pytest.mark.parametrize("path", ["//v1/models", "/v1//models", "/v1/models/", "///v1///models//"])
def test_no_slash_leads_past_the_keys(path: str, facts: ModelFacts) -> None:
    keys = (KeySettings(name="alice", sha256="0" * 64),)
    stub = StubGraph([served_card(facts)], settings=FrontSettings(guardrails=GuardrailPolicy(mode="off"), keys=keys))
    assert ask(stub, f"http://server{path}").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("POST", "/v1/videos/edits", "POST /v1/videos with the video as input_reference"),
        ("POST", "/v1/videos/extensions", "POST /v1/videos with the video as input_reference"),
        ("GET", "/v1/videos/edits", "input_reference"),
        ("POST", "/v1/videos/edits/", "input_reference"),
        ("POST", "/v1/videos/video_1/remix", "input_reference"),
        ("POST", "/v1/videos/characters", "takes a picture"),
        ("GET", "/v1/videos/characters/char_1", "takes a picture"),
        ("POST", "/v1/images/variations", "/v1/images/edits"),
        ("POST", "/v1/chat/completions/batch", "one chat at a time"),
        ("GET", "/v1/responses/resp_1", "not stored"),
        ("POST", "/v1/responses/resp_1/cancel", "not stored"),
        ("POST", "/v1/infer", "/v1/videos/sync"),
        ("POST", "/chat/completions", "a base URL ends with /v1"),
        ("GET", "/models", "a base URL ends with /v1"),
        ("GET", "/videos/video_gen_1/content", "a base URL ends with /v1"),
        ("POST", "/v1/v1/videos", "without the first /v1"),
        ("GET", "/v1/health", "without the first /v1"),
    ],
)
def test_a_route_that_is_not_here_points_to_one_that_is(method: str, path: str, says: str) -> None:
    answer = ask(StubGraph(), path, method)
    assert answer.status_code == 404
    assert says in answer.json()["error"]["message"] and "allow" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/videos/edits/x", "/", "/v1", "/v1/videos/a/b/c"])
def test_where_there_is_no_telling_nothing_is_said(path: str) -> None:
    assert ask(StubGraph(), path).json()["error"]["message"] == f"there is no route GET {path}"


@pytest.mark.parametrize("name", ["sync", "generations"])
def test_a_route_is_no_job(name: str) -> None:
    for method in ("GET", "DELETE"):
        answer = ask(StubGraph(jobs=StubJobs()), f"/v1/videos/{name}", method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("name", ["synchronous", "edits2", "x-sync", "video_1", "Sync"])
def test_a_name_that_only_resembles_one_is_a_job(name: str) -> None:
    answer = ask(StubGraph(jobs=StubJobs()), f"/v1/videos/{name}")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Video not found")


def test_generations_of_videos_are_synchronous_as_on_tensorrt_llm(facts: ModelFacts, tmp_path: Path) -> None:
    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=CompletedJobs())
    fields = {"prompt": "a robot", "size": "64x64", "seconds": 1, "fps": 8, "num_frames": 1, "format": "mp4"}
    answer = ask(stub, "/v1/videos/generations", "POST", json=fields)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4"), answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/v1/models", "/v1/realtime/video", "/", "/v1/videos/edits"])
def test_a_websocket_that_is_not_here_is_a_404(path: str) -> None:
    with pytest.raises(WebSocketDenialResponse) as caught:
        TestClient(create_app(StubGraph().as_graph())).websocket_connect(path).__enter__()
    error = caught.value.json()["error"]
    assert (caught.value.status_code, error["code"]) == (404, 404)
    assert error["message"].startswith(f"there is no route WebSocket {path}") and len(error["request_id"]) == 32


def test_a_websocket_without_a_key_is_a_401() -> None:
    keys = (KeySettings(name="alice", sha256="0" * 64),)
    app = create_app(StubGraph(settings=FrontSettings(guardrails=GuardrailPolicy(mode="off"), keys=keys)).as_graph())
    with pytest.raises(WebSocketDenialResponse) as caught:
        TestClient(app).websocket_connect("/v1/realtime/robot/openpi").__enter__()
    assert (caught.value.status_code, caught.value.json()) == (401, {"error": "Unauthorized"})


def test_a_server_that_cannot_answer_an_upgrade_closes_it() -> None:
    sent: list[Message] = []

    async def connect() -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/nowhere", "headers": []}
        await create_app(StubGraph().as_graph())(scope, receive, send)

    asyncio.run(connect())
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_a_head_request_does_not_wait_for_events(facts: ModelFacts, tmp_path: Path) -> None:
    jobs = EndlessJobs()
    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)
    job = ask(stub, "/v1/videos", "POST", json={"prompt": "a robot", "size": "64x64", "num_frames": 5}).json()["id"]
    answer = ask(stub, f"/v1/videos/{job}/events", "HEAD")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_every_route_exists_once() -> None:
    named = [(route.path, method) for route in ROUTES for method in route.methods or ()]
    assert len(named) == len(set(named))


def test_errors_of_routes_are_envelopes() -> None:
    failure = ApiError(503, "later", headers={"Retry-After": "5"})
    answer = ask(StubGraph(failure=failure), "/health")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "later"


def test_an_unexpected_error_shows_no_details(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"):
        answer = ask(StubGraph(failure=KeyError("/srv/secret/key")), "/health", headers={"x-request-id": "abc"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["request_id"]) == (500, 500, "abc")
    assert "secret" not in answer.text and "log" in error["message"]
    assert any(record.exc_info for record in caplog.records)


def test_the_log_of_an_unexpected_error_has_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"):
        ask(StubGraph(failure=KeyError("secret")), "/health", headers={"x-request-id": "abc"})
    assert all(record.getMessage().startswith("[abc]") for record in caplog.records)


def test_the_id_of_a_request_is_no_format_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"):
        ask(StubGraph(failure=KeyError("secret")), "/health", headers={"x-request-id": "%s %d%%"})
    assert caplog.records
    assert all(record.getMessage().startswith("[%s %d%%] ") for record in caplog.records)


@pytest.mark.parametrize("cause", [ClientDisconnect(), TaskCancelledError()])
@pytest.mark.parametrize(
    ("kind", "begun"), [("application/json", b'{"prompt'), ("multipart/form-data; boundary=x", b"--x\r\nContent-")]
)
def test_a_client_that_hangs_up_within_its_body_is_no_error_of_ours(
    cause: Exception, kind: str, begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield begun
        raise cause

    headers = {"content-type": kind}
    with caplog.at_level(logging.WARNING, "ray.serve.cosmos3"):
        answer = ask(StubGraph(), "/v1/videos", "POST", content=broken(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (499, "ClientClosedRequest")
    assert not caplog.records


def test_errors_have_one_json_form() -> None:
    for path, method in (("/nowhere", "GET"), ("/version", "POST"), ("/v1/models/x", "GET")):
        answer = ask(StubGraph(), path, method)
        assert answer.headers["content-type"] == "application/json"
        assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code", "request_id"}
        assert len(answer.json()["error"]["request_id"]) == 32
