"""The application: its routes, its middleware and its error handlers."""

from __future__ import annotations

import json
import logging

import pytest

from deployments.ingress.app import ROUTES
from deployments.ingress.errors import ApiError
from tests.ingress.stubs import StubGraph, ask


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


def test_errors_have_one_json_form() -> None:
    for path, method in (("/nowhere", "GET"), ("/version", "POST"), ("/v1/models/x", "GET")):
        answer = ask(StubGraph(), path, method)
        assert answer.headers["content-type"] == "application/json"
        assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code", "request_id"}
        assert len(answer.json()["error"]["request_id"]) == 32
