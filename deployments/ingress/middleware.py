"""Middleware of every request: its id and its metrics. Pure ASGI, so that nothing is buffered."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.logs import logs_for

HEADER = "x-request-id"
_ACCEPTABLE = re.compile(r"[\x20-\x7e]{1,255}")
"""Serve sends a client's id back as it came, so a valid one is used in errors and in the log as well."""


def acceptable_id(given: str) -> str:
    """A client's id of a request, or one of our own in place of one that is malformed or too long."""
    return given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex


def request_id_of(request: HTTPConnection) -> str:
    """The id of a request: the client's if it sent a valid one, else one of our own."""
    request_id: str = request.scope["state"]["request_id"]
    return request_id


class RequestContext:
    """Gives each request its id, in the scope, the log and the answer, and counts the answer.

    Args:
        app: the application that it wraps.
        echo: whether to send the id back; under Serve, Serve does so.
        on_error: makes the answer to an unexpected exception. Starlette's own handler for these runs outside of all
            middleware, so its answers would have no id.
    """

    def __init__(self, app: ASGIApp, echo: bool, on_error: Callable[[Request, Exception], Response]) -> None:
        self.app = app
        self.echo = echo
        self.on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = acceptable_id(Headers(scope=scope).get(HEADER, ""))
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["type"] == "websocket":
            with logs_for(request_id):
                await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.echo:
                    MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with logs_for(request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception as error:
                if status:
                    raise
                await self.on_error(Request(scope), error)(scope, receive, send_with_id)
            finally:
                scope["app"].state.metrics.count(scope, status, time.perf_counter() - started)
