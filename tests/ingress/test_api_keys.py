"""API keys and idempotency keys, with an application that answers with its caller."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message

from deployments.ingress.api_keys import ApiKeys, caller_of
from deployments.ingress.errors import ApiError
from deployments.settings.jobs import KeySettings

ALICE = KeySettings(name="alice", sha256=hashlib.sha256(b"alice's key").hexdigest())


def ask(keys: tuple[KeySettings, ...], path: str = "/v1/x", method: str = "GET", **headers: str) -> httpx.Response:
    async def who(request: Request) -> JSONResponse:
        try:
            caller = caller_of(request)
        except ApiError as error:
            return error.response("id")
        return JSONResponse([caller.api_key, caller.idempotency_key])

    async def asked() -> httpx.Response:
        routes = [Route("/{path:path}", who, methods=["GET", "OPTIONS"])]
        app = Starlette(routes=routes, middleware=[Middleware(_State), Middleware(ApiKeys, keys=keys)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    return asyncio.run(asked())


class _State:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})
        await self.app(scope, receive, send)


@pytest.mark.parametrize("root", ["/cosmos", "/a/b/", "/v1", "/health"])
def test_an_application_below_a_prefix_is_guarded(root: str) -> None:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await JSONResponse("in")(scope, receive, send)

    async def asked(path: str, **headers: str) -> int:
        transport = httpx.ASGITransport(app=ApiKeys(app, keys=(ALICE,)), root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return (await client.get(root.rstrip("/") + path, headers=headers)).status_code

    assert asyncio.run(asked("/v1/videos")) == 401 and reached == []
    assert asyncio.run(asked("/v1/videos", authorization="Bearer alice's key")) == 200
    assert asyncio.run(asked("/health")) == 200


@pytest.mark.parametrize("header", ["", "Bearer EMPTY", "Bearer not-used", "nonsense"])
def test_without_keys_every_request_is_allowed(header: str) -> None:
    answer = ask((), authorization=header) if header else ask(())
    assert (answer.status_code, answer.json()) == (200, ["", None])


@pytest.mark.parametrize("header", ["Bearer alice's key", "bearer alice's key", "BEARER   alice's key "])
def test_a_known_key_is_named(header: str) -> None:
    assert ask((ALICE,), authorization=header).json() == ["alice", None]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic alice's key", "alice's key", f"Bearer {ALICE.sha256}"]
)
def test_other_keys_are_refused_as_by_vllm(header: str) -> None:
    answer = ask((ALICE,), authorization=header)
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1", "GET", 401),
        ("/v2/x", "GET", 401),
        ("/inference", "GET", 401),
        ("/cohere/v2", "GET", 401),
        ("/v1/metrics", "GET", 401),
        ("/v1/x", "OPTIONS", 200),
        ("/health", "GET", 200),
        ("/metrics", "GET", 200),
        ("/v10", "GET", 200),
        ("/v1/health/ready", "GET", 200),
        ("/v1/health", "GET", 401),
    ],
)
def test_guarded_paths(path: str, method: str, status: int) -> None:
    assert ask((ALICE,), path, method).status_code == status


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    key = KeySettings(name="bob", environment="BOBS_KEY")
    with pytest.raises(RuntimeError, match="bob is read from BOBS_KEY, which is not set"):
        ApiKeys(_State(None), [key])
    monkeypatch.setenv("BOBS_KEY", "bob's key")
    assert ask((ALICE, key), authorization="Bearer bob's key").json() == ["bob", None]


def test_a_websocket_without_a_key_is_closed() -> None:
    async def test() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/v1/realtime", "headers": []}
        await ApiKeys(_State(None), [ALICE])(scope, None, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(test()) == [{"type": "websocket.close", "code": 1008}]


def test_idempotency_keys() -> None:
    assert ask((), Idempotency_Key="order 7").json() == ["", "order 7"]
    refused = ask((), Idempotency_Key="x" * 256)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "Idempotency-Key"
