"""Liveness, readiness and the version, over a graph that runs nothing."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from tests.ingress.stubs import StubGraph, ask


def test_liveness_does_not_depend_on_the_graph() -> None:
    answer = ask(StubGraph(reasons={"nano": "is not deployed"}), "/v1/health/live")
    assert answer.status_code == 200
    assert answer.json() == {"object": "health.response", "message": "Service is live", "status": "live"}


@pytest.mark.parametrize(("path", "method"), [("/health", "GET"), ("/ping", "GET"), ("/ping", "POST")])
def test_healthy(path: str, method: str) -> None:
    answer = ask(StubGraph(), path, method)
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_unhealthy_names_the_stages_that_are_not_ready(path: str) -> None:
    reasons = {"nano/Generator": "updating", "decoder": "is not deployed"}
    answer = ask(StubGraph(reasons=reasons), path)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unhealthy",
        "reason": "decoder: is not deployed, nano/Generator: updating",
        "stages": reasons,
    }


def test_readiness_in_nims_form() -> None:
    answer = ask(StubGraph(), "/v1/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"object": "health.response", "message": "Service is ready", "status": "ready"}
    answer = ask(StubGraph(reasons={"nano": "is not deployed"}), "/v1/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"object": "health.response", "message": "Service is not ready", "status": "not_ready"}


def test_the_version() -> None:
    assert ask(StubGraph(), "/version").json() == {"version": version("cosmos3")}
