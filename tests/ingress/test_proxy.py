"""The middleware of Serve's HTTP server, wrapped around Serve's own middleware and answers as Serve makes them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from ray.serve._private.http_util import (
    _apply_middlewares,
    convert_object_to_asgi_messages,
    parse_disconnect_disabled_header,
    parse_request_timeout_header,
    validate_http_proxy_callback_return,
)
from ray.serve._private.utils import call_function_from_import_path
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.ingress.proxy import IMPORT_PATH
from deployments.ingress.windows import EXTENSION, TAKEN
from deployments.local.serve_process import DEFAULTS
from deployments.names import INTAKE_VARIABLE

Headers = list[tuple[bytes, bytes]]


def served(app: ASGIApp) -> ASGIApp:
    """An application behind what Serve puts before it when the graph's setting is in its environment."""
    called = call_function_from_import_path(DEFAULTS["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"])
    made: list[Any] = validate_http_proxy_callback_return(called)
    wrapped: ASGIApp = _apply_middlewares(app, made)
    return wrapped


def ask(app: ASGIApp, headers: Headers | None = None, path: str = "/v1/models") -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=served(app), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get(path, headers=headers or [])

    return asyncio.run(asked())


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what Serve would do."""
    headers = dict(scope["headers"])
    names = [name.decode("latin-1").lower() for name, _ in scope["headers"]]
    found = {
        "timeout": parse_request_timeout_header(headers, 7.0),
        "detached": parse_disconnect_disabled_header(headers),
        "ids": Request(scope).headers.getlist("x-request-id"),
        "names": names,
    }
    await JSONResponse(found)(scope, receive, send)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-request-timeout-seconds", b"0.1"),
        (b"X-Request-Timeout-Seconds", b"-1"),
        (b"x_request_timeout_seconds", b"1"),
        (b"x-request-timeout-seconds", b"\xff"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve_multiplexed_model_id", b"x"),
        (b"Serve-Multiplexed-Model-Id", b"\xff"),
        (b"x-session-id", b"1"),
        (b"X_Session_Id", b"\xff"),
    ],
)
def test_headers_that_steer_serve_do_not_reach_it(name: bytes, value: bytes) -> None:
    found = ask(tell, [(name, value), (name, value), (b"X-Kept", b"1")]).json()
    assert (found["timeout"], found["detached"]) == (7.0, False)
    assert name.decode().lower() not in found["names"] and "x-kept" in found["names"]


@pytest.mark.parametrize("given", [b"abc", b"a" * 255, b"tenant/7 b", b'"'])
def test_a_valid_id_comes_back(given: bytes) -> None:
    answer = ask(tell, [(b"X-Request-Id", given)])
    assert answer.json()["ids"] == answer.headers.get_list("x-request-id") == [given.decode()]


@pytest.mark.parametrize("given", [b"a" * 256, b"a" * 60_000, b"\xff", b"\xc3\xa9", b"a\tb", b"", b"\x7f"])
def test_an_id_of_another_form_is_replaced_for_serve_and_for_the_client(given: bytes) -> None:
    answer = ask(tell, [(b"X-Request-Id", given)])
    (request_id,) = answer.json()["ids"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert answer.headers.get_list("x-request-id") == [request_id]


def test_of_several_ids_one_is_used() -> None:
    answer = ask(tell, [(b"X-Request-Id", b"one"), (b"x-request-id", b"two")])
    assert answer.json()["ids"] == answer.headers.get_list("x-request-id") == ["one"]


def test_without_an_id_there_is_one() -> None:
    answer = ask(tell)
    assert answer.json()["ids"] == [answer.headers["x-request-id"]]


def serves(status: int, text: str = "Request 1 timed out after 0.1s.", **headers: str) -> ASGIApp:
    """Answers as Serve does where it makes an error itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        extra = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        for message in convert_object_to_asgi_messages(text, status_code=status, extra_headers=extra):
            await send(message)

    return app


@pytest.mark.parametrize(
    ("status", "ours", "header"),
    [
        (404, 404, None),
        (408, 504, ("x-should-retry", "false")),
        (429, 429, ("retry-after", "5")),
        (503, 503, ("retry-after", "5")),
        (500, 500, ("x-should-retry", "false")),
        (418, 418, None),
    ],
)
def test_errors_of_serve_have_the_form_of_ours(status: int, ours: int, header: tuple[str, str] | None) -> None:
    answer = ask(serves(status), [(b"x-request-id", b"abc")])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["request_id"]) == (ours, ours, "abc")
    assert answer.headers.get_list("x-request-id") == ["abc"]
    assert header is None or answer.headers[header[0]] == header[1]
    assert answer.headers["content-length"] == str(len(answer.content)) and "timed out" not in answer.text


def test_serves_own_time_to_wait_is_kept() -> None:
    assert ask(serves(503, Retry_After="30")).headers.get_list("retry-after") == ["30"]


def test_an_exception_in_serve_is_an_error_of_ours() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "secret")

    answer = ask(fail, [(b"x-request-id", b"abc")])
    assert (answer.status_code, answer.json()["error"]["request_id"]) == (500, "abc")
    assert "secret" not in answer.text


def test_an_exception_in_the_middle_of_an_answer_ends_it() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        ask(fail)


@pytest.mark.parametrize("answer", [JSONResponse({"a": 1}, 408), PlainTextResponse("x"), JSONResponse({}, 500)])
def test_other_answers_pass_unchanged(answer: Any) -> None:
    found = ask(answer)
    assert (found.status_code, found.content) == (answer.status_code, answer.body)


def test_health_checks_of_serve_are_left_alone() -> None:
    for path in ("/-/healthz", "/-/routes"):
        found = ask(serves(503, "DRAINING"), path=path)
        assert (found.status_code, found.text) == (503, "DRAINING")


@pytest.mark.parametrize(("declared", "status"), [("100", 200), ("101", 413), ("9" * 5000, 413), ("x", 200)])
def test_a_body_that_says_it_is_too_large_does_not_reach_a_replica(
    declared: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INTAKE_VARIABLE, '{"request_bytes": 100}')
    answer = ask(tell, [(b"content-length", declared.encode()), (b"x-request-id", b"abc")])
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (status, ["abc"])
    if status == 413:
        assert (answer.json()["error"]["code"], answer.json()["error"]["request_id"]) == (413, "abc")


def test_more_requests_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTAKE_VARIABLE, '{"connections": 2, "connections_share": 1}')
    release = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/-/"):
            await release.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async def test() -> None:
        transport = httpx.ASGITransport(app=served(waits))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            waiting = [asyncio.create_task(client.get("/v1/models")) for _ in range(2)]
            await asyncio.sleep(0.05)
            answer = await client.get("/v1/models")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
            assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
            assert (await client.get("/-/healthz")).status_code == 200
            release.set()
            assert [(await each).status_code for each in waiting] == [200, 200]
            assert (await client.get("/v1/models")).status_code == 200

    asyncio.run(test())


def test_one_address_leaves_room_for_others_and_health_is_always_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTAKE_VARIABLE, '{"connections": 3, "connections_share": 0.5}')
    release = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/models":
            await release.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async def test() -> None:
        app = served(waits)

        async def get(host: str, path: str = "/v1/models") -> int:
            transport = httpx.ASGITransport(app=app, client=(host, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return (await client.get(path)).status_code

        waiting = [asyncio.create_task(get("2001:db8::1"))]
        await asyncio.sleep(0.05)
        assert await get("2001:db8::2", "/v1/other") == 429
        waiting += [asyncio.create_task(get(host)) for host in ("10.0.0.1", "10.0.0.2")]
        await asyncio.sleep(0.05)
        assert await get("10.0.0.3", "/v1/other") == 429
        for path in ("/health", "/ping", "/v1/health/live", "/v1/health/ready"):
            assert await get("2001:db8::1", path) == 200
        release.set()
        assert await asyncio.gather(*waiting) == [200] * 3
        assert await get("2001:db8::1") == 200

    asyncio.run(test())


def test_windows_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(scope["extensions"][EXTENSION])(scope, receive, send)

    monkeypatch.setenv(INTAKE_VARIABLE, '{"window_bytes": 70000}')
    assert ask(app).json() == {"bytes": 70000}


def test_where_serve_answers_nothing_there_is_an_error_of_ours() -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    answer = ask(nothing, [(b"x-request-id", b"abc")])
    assert (answer.status_code, answer.json()["error"]["request_id"]) == (500, "abc")


def test_where_serve_says_nothing_of_its_limit_because_of_a_report_we_do() -> None:
    async def reports(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": TAKEN, "bytes": 1})

    answer = ask(reports, [(b"x-request-id", b"abc")])
    assert (answer.status_code, answer.json()["error"]["request_id"]) == (504, "abc")
    assert answer.headers["x-should-retry"] == "false"


def test_settings_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTAKE_VARIABLE, '{"windows": 1}')
    with pytest.raises(RuntimeError, match="windows"):
        served(tell)


def test_other_connections_pass_through() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    for entry in call_function_from_import_path(IMPORT_PATH):
        scope = {"type": "lifespan"}
        asyncio.run(entry.cls(inner, *entry.args, **entry.kwargs)(scope, None, None))
        assert seen.pop() is scope
