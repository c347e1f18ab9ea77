"""Refusals of requests and of upgrades to a WebSocket, by a response."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

POLICY_VIOLATION = 1008
DENIAL = "websocket.http.response"
"""The extension of ASGI by which a server lets an application answer an upgrade as it answers a request."""


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or an upgrade; to an upgrade, a server without the extension for that answers 403."""
    if scope["type"] == "websocket" and DENIAL not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    else:
        await response(scope, receive, send)
