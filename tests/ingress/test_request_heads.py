"""A real uvicorn, as Serve starts it, takes no endless heads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from deployments.ingress import request_heads
from deployments.ingress.proxy import middleware
from deployments.ingress.request_heads import MAX_HEAD_BYTES


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    found = {"head": sum(len(value) for _, value in scope["headers"]), "body": len(await request.body())}
    await JSONResponse(found)(scope, receive, send)


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server as Serve starts one in a process whose middleware it has asked for; yields its port."""
    middleware()
    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "port": 0}
    server = uvicorn.Server(uvicorn.Config(lambda: tell, factory=True, host="127.0.0.1", **options))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


async def said(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Everything that the server answers to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


LINE = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"x-long: " + b"a" * 100_000 + b"\r\n\r\n",
        LINE + b"x: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        LINE + b"a" * 10_000_000,
    ],
)
def test_a_large_head_is_refused(head: bytes) -> None:
    async def test() -> None:
        async with serving() as port:
            # A client that still writes may see its connection reset instead.
            answer = await said(port, head)
            assert answer == b"" or (answer.startswith(b"HTTP/1.1 431 ") and b'"code":431' in answer.replace(b" ", b""))
            assert (await said(port, LINE + b"\r\n")).startswith(b"HTTP/1.1 200")

    run(test)


def test_a_head_just_too_large_is_told_so() -> None:
    async def test() -> None:
        async with serving() as port:
            start = LINE + b"x-long: "
            answer = await said(port, start + b"a" * (MAX_HEAD_BYTES + 1 - len(start)))
            assert answer.startswith(b"HTTP/1.1 431 ") and b"larger than 65536 bytes" in answer

    run(test)


def test_large_heads_and_bodies_that_are_allowed() -> None:
    async def test() -> None:
        async with serving() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(3):
                # One connection: what is counted starts anew with each request.
                answer = await client.post("/", headers={"x-long": "a" * 40_000}, content=b"b" * 3_000_000)
                assert answer.json()["body"] == 3_000_000 and answer.json()["head"] > 40_000
            pipelined = await said(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + LINE + b"content-length: 2\r\n\r\nab")
            assert pipelined.count(b"HTTP/1.1 200") == 2

    run(test)


def test_a_slow_head_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "HEAD_SECONDS", 0.5)

    async def test() -> None:
        async with serving() as port:
            answer = await said(port, LINE, *[b"x: y\r\n"] * 20, pause_s=0.1)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
            assert await said(port) == b""

    run(test)


def test_a_slow_body_is_not_ended_as_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "HEAD_SECONDS", 0.5)

    async def test() -> None:
        async with serving() as port:
            answer = await said(port, LINE + b"content-length: 10\r\n\r\n", *[b"x"] * 10, pause_s=0.1)
            assert answer.startswith(b"HTTP/1.1 200")

    run(test)
