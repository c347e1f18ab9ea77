"""An HTTP server on a loopback address that gives every request the same answer, and names that resolve to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest

from deployments import addresses

PRIVATE_BODY = b"the receiver's own words"


Answer = Callable[[asyncio.StreamWriter, asyncio.Event], Awaitable[None]]


def answers(status: int, *headers: str, body: bytes = PRIVATE_BODY) -> Answer:
    async def write(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
        head = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    return write


def redirects(status: int, location: str) -> Answer:
    return answers(status, f"location: {location}")


async def hangs(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    await closing.wait()


async def dribbles(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """Answers, but so that no single read takes long and the head never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nx-long: ")
    while not closing.is_set() and not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def never_ends(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """Accepts at once, with a body that never comes to its end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
    await closing.wait()


async def talks_nonsense(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    writer.write(PRIVATE_BODY + b"\r\n\r\n")


@dataclass
class Received:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that gives every request the same answer, and keeps what it received."""

    answer: Answer = field(default_factory=lambda: answers(200))
    address: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Receiver:
        self._closing = asyncio.Event()
        self._server = await asyncio.start_server(self._handle, self.address, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.close()
        await asyncio.gather(*self._handlers)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/hook"

    def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._handlers.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.received.append(Received(line, headers, body))
            await self.answer(writer, self._closing)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client disconnected; tests look at `received`.
        finally:
            writer.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test, for half a minute at most."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


def resolves(monkeypatch: pytest.MonkeyPatch, *found: str) -> list[tuple[str, int]]:
    """Let every name resolve to these; returns the hosts and ports that were resolved."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return list(found)

    monkeypatch.setattr(addresses, "resolve", resolve)
    return asked
