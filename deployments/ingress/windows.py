"""Windows on what is on its way between Serve's HTTP server and a replica, because Serve's own queues have no bound.

Serve's server reads a body as fast as it comes, and the replica takes all of it, whether or not the application reads;
answers are kept for clients that do not read them. So two pieces of middleware, one at each end, tell each other how
much has been taken, by messages of their own among those of ASGI: the application's end says how much of a body it has
read, and the server's end how much of an answer has been sent. Neither goes further ahead than the window, and neither
waits for ever for a client that does not read its answer.

An application without an end says nothing. Then the server's end lets the body pass, after `SILENCE_S` the first time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EXTENSION = "cosmos3.windows"
"""The extension of ASGI by which the server's end offers windows to the application's end."""
TAKEN = "cosmos3.taken"
"""Type of the application's message: `bytes` of the body have been read."""
SENT = "cosmos3.sent"
"""Type of the server's message: `bytes` of the answer have been sent."""
SILENCE_S = 5.0
"""How long a full window is kept for an application of which no end has ever been heard."""
MAX_APPLICATIONS = 256
_REQUEST, _START, _BODY, _DISCONNECT = "http.request", "http.response.start", "http.response.body", "http.disconnect"


class Unanswered(Exception):
    """An application that read of a body and ended without an answer; Serve then says nothing of why."""


def reported(window: int) -> int:
    """How many bytes of an answer are reported at a time, so that small answers cause no messages."""
    return window // 4


def reported_of_body(window: int) -> int:
    """How many bytes of a body are reported at a time; Serve answers no errors itself after the first report."""
    return window // 2


class ServerWindows:
    """The server's end.

    Args:
        app: what it wraps.
        window_bytes: what of a body may have been received and not been read by the application.
        stall_s: how long a client may read nothing of its answer.
    """

    def __init__(self, app: ASGIApp, window_bytes: int, stall_s: float) -> None:
        self.app = app
        self._window = window_bytes
        self._stall_s = stall_s
        self._known = _Applications()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection.

        Raises:
            Unanswered: the application read of the body, and ended without an answer.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = {**(scope.get("extensions") or {}), EXTENSION: {"bytes": self._window}}
        transfer = _ServerTransfer(receive, send, self._window, self._stall_s, self._known.of(scope["path"]))
        try:
            await self.app({**scope, "extensions": offered}, transfer.receive, transfer.send)
        finally:
            transfer.close()
        if transfer.unanswered:
            raise Unanswered


class _Application:
    """What is known of an application: whether it has an end of its own, once that has shown."""

    def __init__(self) -> None:
        self.has_end: bool | None = None


class _Applications:
    """The applications behind a server, by the first part of a request's path, which is all that shows of them here."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Application] = OrderedDict()

    def of(self, path: str) -> _Application:
        name = path.lstrip("/").partition("/")[0]
        known = self._known.setdefault(name, _Application())
        self._known.move_to_end(name)
        if len(self._known) > MAX_APPLICATIONS:
            self._known.popitem(last=False)
        return known


class _ServerTransfer:
    def __init__(self, receive: Receive, send: Send, window: int, stall_s: float, application: _Application) -> None:
        self._receive = receive
        self._send = send
        self._window = window
        self._stall_s = stall_s
        self._application = application
        self._unread = 0
        self._sent = 0
        self._accepted = False
        self._started = False
        self._whole = False
        self._gone = False
        self._changed = asyncio.Event()
        self._next: asyncio.Future[Message] | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the application has read of the body and not answered."""
        return self._accepted and not self._started

    async def receive(self) -> Message:
        while True:
            self._changed.clear()
            if self._gone:
                return {"type": _DISCONNECT}
            if self._accepted and self._sent >= reported(self._window):
                message: Message = {"type": SENT, "bytes": self._sent}
                self._sent = 0
                return message
            if self._next is None and self._may_go_on():
                self._next = asyncio.ensure_future(self._receive())
            if self._next is not None and self._next.done():
                message, self._next = _result(self._next), None
                self._unread += len(message.get("body", b""))
                self._whole = self._whole or not message.get("more_body", False)
                return message
            await self._wait()

    def _may_go_on(self) -> bool:
        # What follows a whole body is only that the client hangs up.
        return self._unread < self._window or self._whole or self._application.has_end is False

    async def _wait(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waiting: set[asyncio.Future[Any]] = {changed} if self._next is None else {changed, self._next}
        silent = self._next is None and self._application.has_end is None
        try:
            done, _ = await asyncio.wait(
                waiting, return_when=asyncio.FIRST_COMPLETED, timeout=SILENCE_S if silent else None
            )
        finally:
            changed.cancel()
        if silent and not done and self._application.has_end is None:
            self._application.has_end = False

    async def send(self, message: Message) -> None:
        if message["type"] == TAKEN:
            # It has an end of its own. Others would not know what to do with this one's messages.
            self._accepted = self._application.has_end = True
            self._unread -= message["bytes"]
            self._changed.set()
            return
        if self._gone:
            return
        self._started = self._started or message["type"] == _START
        try:
            async with asyncio.timeout(self._stall_s):
                await self._send(message)
        except TimeoutError:
            # Serve ends the request when it hears of it, and the server closes the connection of an answer that ends.
            self._gone = True
            self._changed.set()
            return
        if message["type"] == _BODY:
            self._sent += len(message.get("body", b""))
            self._changed.set()

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()


def _result(received: asyncio.Future[Message]) -> Message:
    try:
        return received.result()
    except (OSError, RuntimeError):
        # So uvicorn says that it cannot read on, where the client has hung up while it did not read.
        return {"type": _DISCONNECT}


class ApplicationWindows:
    """The application's end; it does nothing where the server has no such end.

    Args:
        app: what it wraps.
        stall_s: how long a client may read nothing of its answer before it counts as gone.
    """

    def __init__(self, app: ASGIApp, stall_s: float) -> None:
        self.app = app
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        offered = (scope.get("extensions") or {}).get(EXTENSION)
        if scope["type"] != "http" or offered is None:
            await self.app(scope, receive, send)
            return
        transfer = _ApplicationTransfer(receive, send, offered["bytes"], self._stall_s)
        reading = asyncio.ensure_future(transfer.read())
        try:
            await self.app(scope, transfer.receive, transfer.send)
        finally:
            reading.cancel()


class _ApplicationTransfer:
    def __init__(self, receive: Receive, send: Send, window: int, stall_s: float) -> None:
        self._receive = receive
        self._send = send
        self._window = window
        self._stall_s = stall_s
        self._read = 0
        self._unsent = 0
        self._accepted = False
        self._gone = False
        self._room = asyncio.Event()
        self._arrived: asyncio.Queue[Message | Exception] = asyncio.Queue()

    async def read(self) -> None:
        """Take all messages, and hand those of ASGI to the application; the window bounds them."""
        while not self._gone:
            try:
                message = await self._receive()
            except Exception as error:
                self._arrived.put_nowait(error)
                self._gone = True
                self._room.set()
                return
            if message["type"] == SENT:
                self._unsent -= message["bytes"]
            else:
                self._gone = message["type"] == _DISCONNECT
                self._arrived.put_nowait(message)
            self._room.set()

    async def receive(self) -> Message:
        if self._gone and self._arrived.empty():
            return {"type": _DISCONNECT}
        message = await self._arrived.get()
        if isinstance(message, Exception):
            raise message
        if message["type"] == _REQUEST and message.get("more_body", False):
            self._read += len(message.get("body", b""))
            if self._read >= reported_of_body(self._window):
                await self._report()
        return message

    async def _report(self) -> None:
        message, self._read, self._accepted = {"type": TAKEN, "bytes": self._read}, 0, True
        await self._send(message)

    async def send(self, message: Message) -> None:
        if message["type"] != _BODY:
            await self._send(message)
            return
        body, more = memoryview(message.get("body", b"")), message.get("more_body", False)
        piece = reported(self._window)
        for start in range(0, max(1, len(body)), piece):
            part = bytes(body[start : start + piece])
            await self._has_room()
            if self._gone:
                return
            self._unsent += len(part)
            await self._send({**message, "body": part, "more_body": more or start + piece < len(body)})

    async def _has_room(self) -> None:
        if self._unsent and not self._accepted:
            await self._report()
        while self._unsent >= self._window and not self._gone:
            self._room.clear()
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._room.wait()
            except TimeoutError:
                self._gone = True
                self._arrived.put_nowait({"type": _DISCONNECT})
