"""Every request has an id in its scope, its log and its answer, and is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from deployments import logs
from deployments.ingress.middleware import RequestContext, request_id_of
from deployments.ingress.routes.metrics import HttpMetrics

INVALID_IDS = ["", "é", "a" * 256, "a\tb", "\x7f"]


async def _tell(request: Request) -> Response:
    return JSONResponse({"id": request_id_of(request), "log": logs._subject.get()})


async def _stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"1", b"2"):
            yield piece + logs._subject.get().encode()

    return StreamingResponse(pieces())


async def _break(request: Request) -> Response:
    raise RuntimeError("broken")


def _failed(request: Request, error: Exception) -> Response:
    return Response(status_code=500)


def app_of(echo: bool = True) -> Starlette:
    routes = [Route("/tell/{name}", _tell), Route("/stream", _stream), Route("/break", _break)]
    app = Starlette(routes=routes, middleware=[Middleware(RequestContext, echo=echo, on_error=_failed)])
    app.state.metrics = HttpMetrics()
    return app


def ask(app: Starlette, path: str = "/tell/x", given: str | bytes | None = None, method: str = "GET") -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            headers = [] if given is None else [(b"X-Request-Id", given.encode() if isinstance(given, str) else given)]
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


def counts(app: Starlette) -> dict[tuple[str, str, str], float]:
    registry: CollectorRegistry = app.state.metrics.registry
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "cosmos3_http_requests_total"
    }


def is_ours(request_id: str) -> bool:
    return len(request_id) == 32 and set(request_id) <= set("0123456789abcdef")


@pytest.mark.parametrize("given", ["abc", "A-1_b.c:d", "a" * 255, "0", "a b", "tenant/7", '"', "a,b;c"])
def test_a_valid_id_is_kept(given: str) -> None:
    answer = ask(app_of(), given=given)
    assert answer.json() == {"id": given, "log": given}
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", INVALID_IDS)
def test_an_invalid_id_is_replaced(given: str) -> None:
    answer = ask(app_of(), given=given)
    assert is_ours(answer.json()["id"])
    assert answer.headers["x-request-id"] == answer.json()["id"] == answer.json()["log"]


@given(st.binary(max_size=20).filter(lambda given: b"\n" not in given))
def test_no_id_breaks_a_header_or_a_log_line(given: bytes) -> None:
    found = ask(app_of(), given=given).json()["id"]
    # A server strips the whitespace around a header's value.
    assert is_ours(found) or found.encode().strip() == given.strip()
    assert found.isascii() and found.isprintable()


def test_an_id_that_ends_with_a_line_break_is_replaced() -> None:
    # Servers such as Serve's proxy and uvicorn refuse it before it gets here.
    assert is_ours(ask(app_of(), given=b"abc\n").json()["id"])


def test_every_request_has_an_id_of_its_own() -> None:
    app = app_of()
    assert len({ask(app).json()["id"] for _ in range(5)}) == 5


def test_without_echo_the_answer_has_no_id() -> None:
    answer = ask(app_of(echo=False), given="abc")
    assert answer.json()["id"] == "abc"
    assert "x-request-id" not in answer.headers


def test_an_id_that_a_handler_has_set_is_replaced() -> None:
    async def named(request: Request) -> Response:
        return Response(headers={"X-Request-Id": "other"})

    app = Starlette(routes=[Route("/", named)], middleware=[Middleware(RequestContext, echo=True, on_error=_failed)])
    app.state.metrics = HttpMetrics()
    assert ask(app, "/", "abc").headers.get_list("x-request-id") == ["abc"]


def test_a_stream_is_logged_with_its_id_to_the_end() -> None:
    answer = ask(app_of(), "/stream", "abc")
    assert answer.text == "1abc2abc" and answer.headers["x-request-id"] == "abc"


def test_the_log_has_no_id_afterwards() -> None:
    ask(app_of(), given="abc")
    assert logs._subject.get() == "-"


def test_answers_are_counted_by_route_and_status() -> None:
    app = app_of()
    for path in ("/tell/a", "/tell/b", "/stream", "/nowhere", "/else/where"):
        ask(app, path)
    ask(app, "/tell/a", method="POST")
    ask(app, "/tell/a", method="HEAD")
    assert counts(app) == {
        ("GET", "/tell/{name}", "200"): 2,
        ("GET", "/stream", "200"): 1,
        ("GET", "other", "404"): 2,
        ("POST", "/tell/{name}", "405"): 1,
        ("HEAD", "/tell/{name}", "200"): 1,
    }


def test_times_are_observed() -> None:
    app = app_of()
    ask(app)
    labels = {"method": "GET", "route": "/tell/{name}"}
    assert app.state.metrics.registry.get_sample_value("cosmos3_http_seconds_count", labels) == 1
    assert 0 < app.state.metrics.registry.get_sample_value("cosmos3_http_seconds_sum", labels) < 60


def test_a_client_that_hangs_up_before_an_answer_is_counted_as_status_0() -> None:
    async def scenario() -> dict[tuple[str, str, str], float]:
        app, begun = Starlette(middleware=[Middleware(RequestContext, echo=True, on_error=_failed)]), asyncio.Event()
        app.state.metrics = HttpMetrics()

        async def wait(request: Request) -> Response:
            begun.set()
            await asyncio.sleep(60)
            return Response()

        app.add_route("/wait", wait)
        task = asyncio.create_task(_asgi(app, {"type": "http", "method": "GET", "path": "/wait", "headers": []}))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return counts(app)

    assert asyncio.run(scenario()) == {("GET", "/wait", "0"): 1}


def test_other_connections_pass_through() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope: dict[str, Any] = {"type": "lifespan"}
    asyncio.run(_asgi(RequestContext(inner, echo=True, on_error=_failed), scope))
    assert seen == [scope] and seen[0] is scope and scope == {"type": "lifespan"}


@pytest.mark.parametrize(("given", "kept"), [(b"abc", True), (b"a" * 256, False), (b"a\tb", False), (b"", False)])
def test_a_websocket_has_an_id_too(given: bytes, kept: bool) -> None:
    ids: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        ids.append(request_id_of(HTTPConnection(scope)))

    scope: dict[str, Any] = {"type": "websocket", "headers": [(b"x-request-id", given)]}
    asyncio.run(_asgi(RequestContext(inner, echo=True, on_error=_failed), scope))
    assert (ids == [given.decode()]) is kept and (kept or is_ours(ids[0]))


async def _asgi(app: Any, scope: dict[str, Any]) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    await app(scope, receive, send)


def test_an_answer_to_an_unexpected_error_has_its_id_and_is_counted() -> None:
    app = app_of()
    answer = ask(app, "/break", "abc")
    assert answer.status_code == 500
    assert counts(app) == {("GET", "/break", "500"): 1}
    assert answer.headers["x-request-id"] == "abc"


def test_unknown_methods_share_one_series() -> None:
    app = app_of()
    for index in range(5):
        ask(app, method=f"X{index}")
    assert len(counts(app)) == 1
