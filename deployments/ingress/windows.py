"""Windows on what is on its way between Serve's HTTP server and a replica, because Serve's own queues have no bound.

Serve's server reads a body as fast as it comes, and the replica takes all of it, whether or not the application reads;
answers are kept for clients that do not read them. So two pieces of middleware, one at each end, tell each other how
much has been taken, by messages of their own among those of ASGI: the application's end says how much of a body it has
read, and the server's end how much of an answer has been sent. Neither goes further ahead than the window.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EXTENSION = "cosmos3.windows"
"""The extension of ASGI by which the server's end offers windows to the application's end."""
TAKEN = "cosmos3.taken"
"""Type of the application's message: `bytes` of the body have been read."""
SENT = "cosmos3.sent"
"""Type of the server's message: `bytes` of the answer have been sent."""
_REQUEST, _BODY, _DISCONNECT = "http.request", "http.response.body", "http.disconnect"


def reported(window: int) -> int:
    """How many bytes are reported at a time, so that small bodies and answers cause no messages."""
    return window // 4


class ServerWindows:
    """The server's end.

    Args:
        app: what it wraps.
        window_bytes: what of a body may have been received and not been read by the application.
    """

    def __init__(self, app: ASGIApp, window_bytes: int) -> None:
        self.app = app
        self._window = window_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = {**(scope.get("extensions") or {}), EXTENSION: {"bytes": self._window}}
        transfer = _ServerTransfer(receive, send, self._window)
        try:
            await self.app({**scope, "extensions": offered}, transfer.receive, transfer.send)
        finally:
            transfer.close()


class _ServerTransfer:
    def __init__(self, receive: Receive, send: Send, window: int) -> None:
        self._receive = receive
        self._send = send
        self._window = window
        self._unread = 0
        self._sent = 0
        self._accepted = False
        self._changed = asyncio.Event()
        self._next: asyncio.Future[Message] | None = None

    async def receive(self) -> Message:
        while True:
            self._changed.clear()
            if self._accepted and self._sent >= reported(self._window):
                message: Message = {"type": SENT, "bytes": self._sent}
                self._sent = 0
                return message
            if self._next is None and self._unread < self._window:
                self._next = asyncio.ensure_future(self._receive())
            if self._next is not None and self._next.done():
                message, self._next = _result(self._next), None
                self._unread += len(message.get("body", b""))
                return message
            await self._wait()

    async def _wait(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waiting: set[asyncio.Future[Any]] = {changed} if self._next is None else {changed, self._next}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def send(self, message: Message) -> None:
        if message["type"] == TAKEN:
            # It has an end of its own. Others would not know what to do with this one's messages.
            self._accepted = True
            self._unread -= message["bytes"]
            self._changed.set()
            return
        await self._send(message)
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
    """The application's end; it does nothing where the server has no such end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        offered = (scope.get("extensions") or {}).get(EXTENSION)
        if scope["type"] != "http" or offered is None:
            await self.app(scope, receive, send)
            return
        transfer = _ApplicationTransfer(receive, send, offered["bytes"])
        reading = asyncio.ensure_future(transfer.read())
        try:
            await self.app(scope, transfer.receive, transfer.send)
        finally:
            reading.cancel()


class _ApplicationTransfer:
    def __init__(self, receive: Receive, send: Send, window: int) -> None:
        self._receive = receive
        self._send = send
        self._window = window
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
            if self._read >= reported(self._window):
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
            await self._room.wait()
