"""Both ends of the windows, with queues without a bound between them, as Serve has."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.ingress import windows
from deployments.ingress.windows import SENT, TAKEN, ApplicationWindows, ServerWindows, Unanswered

WINDOW = 2**16
STALL_S = 10.0
PIECE = 10_000
# A window, and the piece that goes beyond it.
MOST = WINDOW + PIECE


class Serve:
    """What is between the two ends: everything is taken at once, in either direction.

    Attributes:
        body, answer: bytes that have come from the client and from the application.
        messages: types of the messages that have passed, in either direction.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.body = self.answer = 0
        self.messages: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived: asyncio.Queue[Message] = asyncio.Queue()
        answered: asyncio.Queue[Message | None] = asyncio.Queue()

        async def take() -> None:
            while True:
                message = await receive()
                self.body += len(message.get("body", b""))
                self.messages.append(message["type"])
                arrived.put_nowait(message)
                if message["type"] == "http.disconnect":
                    return

        async def answer(message: Message) -> None:
            self.answer += len(message.get("body", b""))
            self.messages.append(message["type"])
            answered.put_nowait(message)

        async def run() -> None:
            try:
                await self.app(pickle.loads(pickle.dumps(scope)), arrived.get, answer)
            finally:
                answered.put_nowait(None)

        tasks = [asyncio.create_task(take()), asyncio.create_task(run())]
        try:
            while (message := await answered.get()) is not None:
                await send(message)
            await tasks[1]
        finally:
            tasks[0].cancel()


class Client:
    """A client that sends a body, and reads the answer where it may."""

    def __init__(self, pieces: int = 1, hangs_up: bool = False, size: int = PIECE) -> None:
        self.left = pieces
        self.size = size
        self.hangs_up = hangs_up
        self.read = asyncio.Event()
        self.content = b""
        self.ended = False

    async def receive(self) -> Message:
        if self.left:
            self.left -= 1
            return {"type": "http.request", "body": bytes(self.size), "more_body": self.left > 0}
        if not self.hangs_up:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        assert not self.ended and message["type"].startswith("http.response.")
        if message["type"] == "http.response.body":
            await self.read.wait()
            self.content += message["body"]
            self.ended = not message.get("more_body", False)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(within())


async def settled() -> None:
    """Let everything go on until it waits."""
    for _ in range(2000):
        await asyncio.sleep(0)


def joined(app: ASGIApp, stalls_s: tuple[float, float] = (STALL_S, STALL_S)) -> tuple[ASGIApp, Serve]:
    serve = Serve(ApplicationWindows(app, stalls_s[1]))
    return ServerWindows(serve, WINDOW, stalls_s[0]), serve


SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}


def test_no_more_of_a_body_is_taken_than_the_application_reads() -> None:
    async def test() -> None:
        may_read, steps = asyncio.Event(), 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal steps
            received = 0
            await may_read.wait()
            async for piece in Request(scope, receive).stream():
                received += len(piece)
                steps += 1
                await asyncio.sleep(0)
                assert serve.body - received <= MOST
            await PlainTextResponse(str(received))(scope, receive, send)

        server, serve = joined(app)
        client = Client(pieces=500)
        client.read.set()
        task = asyncio.ensure_future(server(SCOPE, client.receive, client.send))
        await settled()
        assert WINDOW <= serve.body <= MOST
        may_read.set()
        await task
        assert client.content == str(500 * PIECE).encode() and steps >= 500
        assert serve.messages.count(TAKEN) <= 500 * PIECE // (WINDOW // 2) + 1

    run(test)


@pytest.mark.parametrize("whole", [True, False])
def test_no_more_of_an_answer_is_sent_than_the_client_reads(whole: bool) -> None:
    async def test() -> None:
        content = bytes(range(256)) * 8000

        async def pieces() -> Any:
            for start in range(0, len(content), PIECE):
                yield content[start : start + PIECE]

        app: ASGIApp = Response(content) if whole else StreamingResponse(pieces())
        server, serve = joined(app)
        client = Client()
        task = asyncio.ensure_future(server(SCOPE, client.receive, client.send))
        await settled()
        assert serve.answer <= WINDOW + WINDOW // 4
        client.read.set()
        await task
        assert client.content == content and client.ended

    run(test)


def test_small_bodies_and_answers_cost_no_messages() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            content = await Request(scope, receive).body()
            await Response(content)(scope, receive, send)

        server, serve = joined(app)
        client = Client()
        client.read.set()
        await server(SCOPE, client.receive, client.send)
        assert len(client.content) == PIECE
        assert not {TAKEN, SENT} & set(serve.messages)

    run(test)


def test_an_application_without_an_end_gets_no_messages_of_ours() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((await receive())["type"])
            await Response(bytes(10 * WINDOW))(scope, receive, send)
            await settled()

        seen: list[str] = []
        serve = Serve(app)
        client = Client()
        client.read.set()
        await ServerWindows(serve, WINDOW, STALL_S)(SCOPE, client.receive, client.send)
        assert len(client.content) == 10 * WINDOW
        assert seen == ["http.request"] and SENT not in serve.messages

    run(test)


def test_a_server_without_an_end_gets_none_either() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            content = await Request(scope, receive).body()
            await Response(content * 10)(scope, receive, send)

        serve = Serve(ApplicationWindows(app, STALL_S))
        client = Client(pieces=20)
        client.read.set()
        await serve(SCOPE, client.receive, client.send)
        assert len(client.content) == 200 * PIECE
        assert TAKEN not in serve.messages

    run(test)


def test_a_client_that_hangs_up_is_noticed_in_the_middle_of_both() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            assert (await receive())["type"] == "http.disconnect"
            noticed.append("body")
            await Response(bytes(10 * WINDOW))(scope, receive, send)
            noticed.append("answer")

        noticed: list[str] = []
        server, serve = joined(app)
        client = Client(pieces=30, hangs_up=True)
        client.read.set()
        await server(SCOPE, client.receive, client.send)
        assert noticed == ["body", "answer"] and serve.answer == 0

    run(test)


def test_an_application_that_does_not_read_a_body_may_answer_it() -> None:
    async def test() -> None:
        server, serve = joined(PlainTextResponse("no"))
        client = Client(pieces=500)
        client.read.set()
        await server(SCOPE, client.receive, client.send)
        assert client.content == b"no" and serve.body <= MOST

    run(test)


def test_an_error_on_the_way_reaches_the_application() -> None:
    async def test() -> None:
        async def broken() -> Message:
            raise ConnectionError("Serve's server is gone")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(ConnectionError, match="gone"):
                await receive()
            seen.append(1)

        seen: list[int] = []
        scope = SCOPE | {"extensions": {"cosmos3.windows": {"bytes": WINDOW}}}
        await ApplicationWindows(app, STALL_S)(scope, broken, Client().send)
        assert seen == [1]

    run(test)


@pytest.mark.parametrize("stalls_s", [(0.2, 60.0), (60.0, 0.2)])
def test_a_client_that_reads_nothing_is_gone_after_a_while(stalls_s: tuple[float, float]) -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await Response(bytes(10 * WINDOW))(scope, receive, send)
            assert (await receive())["type"] == "http.disconnect"
            ended.set()

        ended = asyncio.Event()
        server, serve = joined(app, stalls_s)
        task = asyncio.ensure_future(server(SCOPE, (client := Client()).receive, client.send))
        await ended.wait()
        assert serve.answer <= WINDOW + WINDOW // 4
        # Serve's server waits for its own end, if the application's was the first.
        client.read.set()
        await task

    run(test)


def test_an_application_without_an_end_gets_all_of_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "SILENCE_S", 0.2)

    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            content = await Request(scope, receive).body()
            await PlainTextResponse(str(len(content)))(scope, receive, send)

        serve = Serve(app)
        server = ServerWindows(serve, WINDOW, STALL_S)
        for path in ("/other/a", "/other/b"):
            client = Client(pieces=50)
            client.read.set()
            await server(SCOPE | {"path": path}, client.receive, client.send)
            assert client.content == str(50 * PIECE).encode()
            # The second body waits for nothing.
            monkeypatch.setattr(windows, "SILENCE_S", 60.0)

    run(test)


def test_an_application_that_has_an_end_keeps_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "SILENCE_S", 0.05)

    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"].endswith("slow"):
                await asyncio.sleep(0.3)
                assert serve.body - before <= MOST
            content = await Request(scope, receive).body()
            await PlainTextResponse(str(len(content)))(scope, receive, send)

        server, serve = joined(app)
        before = 0
        for path in ("/v1/quick", "/v1/slow"):
            client = Client(pieces=50)
            client.read.set()
            await server(SCOPE | {"path": path}, client.receive, client.send)
            assert client.content == str(50 * PIECE).encode()
            before = serve.body

    run(test)


def test_a_client_that_hangs_up_after_its_body_is_noticed_though_the_window_is_full() -> None:
    async def test() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert len(await Request(scope, receive).body()) == 2 * WINDOW
            assert (await receive())["type"] == "http.disconnect"
            noticed.append(1)

        noticed: list[int] = []
        # The last piece fills the window, and is never reported.
        server, _ = joined(app)
        client = Client(pieces=2, hangs_up=True, size=WINDOW)
        with pytest.raises(Unanswered):
            await server(SCOPE, client.receive, client.send)
        assert noticed == [1]

    run(test)


def test_an_answer_ends_when_serves_server_is_gone() -> None:
    async def test() -> None:
        async def gone() -> Message:
            await asyncio.sleep(0.1)
            raise ConnectionError("Serve's server is gone")

        async def send(message: Message) -> None:
            pass

        scope = SCOPE | {"extensions": {"cosmos3.windows": {"bytes": WINDOW}}}
        started = asyncio.get_running_loop().time()
        await ApplicationWindows(Response(bytes(10 * WINDOW)), STALL_S)(scope, gone, send)
        assert asyncio.get_running_loop().time() - started < STALL_S / 2

    run(test)
