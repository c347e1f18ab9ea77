"""A real uvicorn, as Serve starts it, takes no endless heads."""

from __future__ import annotations

import asyncio
import time
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
from deployments.ingress.request_heads import MAX_HEAD_BYTES, MAX_HEADERS, MAX_WAITING


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    path = request.url.path
    if path == "/early":
        await JSONResponse({}, 404)(scope, receive, send)
        return
    if path == "/slow":
        await request.body()
        await asyncio.sleep(0.8)
    headers = scope["headers"]
    found = {"headers": len(headers), "head": sum(len(value) for _, value in headers)}
    found["body"] = len(await request.body())
    found["headers_at_end"] = len(headers)
    await JSONResponse(found)(scope, receive, send)


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[int]:
    """A server as Serve starts one in a process whose middleware it has asked for; yields its port."""
    middleware()
    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "port": 0}
    options |= more
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


CHUNKED = LINE + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"


def starts(answer: bytes) -> list[int]:
    """The statuses of the answers among what a server sent."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "rest", [b"ab:\r\n" * 50_000, b"ab: " + b"x" * 200_000, b"ab: " + b"x" * 10_000_000], ids=["many", "long", "longer"]
)
def test_trailers_are_bounded(rest: bytes) -> None:
    async def test() -> None:
        async with serving() as port:
            answer = await said(port, CHUNKED + b"3\r\nabc\r\n0\r\n" + rest)
            # A client that still writes may see its connection reset instead.
            assert answer == b"" or (starts(answer) == [431] and b"behind its body" in answer)

    run(test)


def test_trailers_are_not_added_to_the_headers() -> None:
    async def test() -> None:
        async with serving() as port:
            answer = await said(port, CHUNKED, b"3\r\nabc\r\n0\r\nx-added: 1\r\n\r\n", pause_s=0.1)
            assert b'"headers":3' in answer and b'"headers_at_end":3' in answer

    run(test)


def test_small_pieces_of_a_long_body_are_not_its_trailers() -> None:
    async def test() -> None:
        async with serving() as port:
            answer = await said(port, CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
            assert b'"body":50000' in answer

    run(test)


def test_the_number_of_headers_is_bounded() -> None:
    async def test() -> None:
        async with serving() as port:
            assert starts(await said(port, LINE + b"x: y\r\n" * (MAX_HEADERS - 2) + b"\r\n")) == [200]
            assert starts(await said(port, LINE + b"x: y\r\n" * (MAX_HEADERS - 1) + b"\r\n")) == [431]

    run(test)


def test_few_requests_wait_on_a_connection() -> None:
    async def test() -> None:
        async with serving() as port:
            answer = await said(port, SLOW + GET * 8_000)
            assert answer == b"" or starts(answer) == [200] * (1 + MAX_WAITING) + [429]
            assert starts(await said(port, SLOW + GET * (MAX_WAITING - 1) + LINE + b"\r\n")) == [200] * (
                1 + MAX_WAITING
            )

    run(test)


def test_what_follows_a_request_is_no_part_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "HEAD_SECONDS", 0.3)

    async def test() -> None:
        async with serving() as port:
            # Empty lines, the start of a head that does not go on, one that is too large, and what is no request.
            assert starts(await said(port, SLOW + b"\r\n", b"", LINE + b"\r\n", pause_s=0.5)) == [200, 200]
            assert starts(await said(port, SLOW, LINE, pause_s=0.1)) == [200, 408]
            assert starts(await said(port, SLOW, LINE + b"x: " + b"y" * 70_000, pause_s=0.1)) in ([200, 431], [])
            assert starts(await said(port, SLOW + b"nonsense\r\n\r\n")) == [200, 400]

    run(test)


def test_a_head_in_the_tail_of_a_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "HEAD_SECONDS", 0.5)
    start = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"a" * 100_000

    async def test() -> None:
        async with serving() as port:
            assert starts(await said(port, start + LINE)) == [200, 408]
            answer = await said(port, start + LINE + b"x: " + b"a" * 100_000)
            assert answer == b"" or starts(answer) == [200, 431]
            # It counts from its own start.
            fitting = LINE + b"x: " + b"a" * 60_000 + b"\r\n\r\n"
            assert starts(await said(port, start + fitting)) == [200, 200]

    run(test)


def test_the_rest_of_a_body_that_is_answered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"

    async def seconds(port: int, *parts: bytes) -> float:
        start = time.monotonic()
        await said(port, head, *parts, pause_s=0.1)
        return time.monotonic() - start

    async def test() -> None:
        async with serving(timeout_keep_alive=1) as port:
            assert await seconds(port, b"x") < 5
            # Whoever sends the rest in time may go on.
            answer = await said(port, head, b"x" * 1_000_000, LINE + b"\r\n", pause_s=0.2)
            assert starts(answer) == [404, 200]
            monkeypatch.setattr(request_heads, "REST_SECONDS", 0.5)
            assert await seconds(port, *[b"x"] * 20) < 5
        async with serving(timeout_keep_alive=60) as port:
            assert await seconds(port, b"x") < 5

    run(test)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "MAX_CONNECTIONS", 3)

    async def test() -> None:
        async with serving() as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert await said(port, LINE + b"\r\n") == b""
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.1)
            assert starts(await said(port, LINE + b"\r\n")) == [200]

    run(test)
