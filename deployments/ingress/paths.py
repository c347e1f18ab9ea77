"""Paths as the table of routes has them, whatever clients and servers add to them. Pure ASGI."""

from __future__ import annotations

import re

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")
JOB_ID = "job"
"""The name of the convertor of a job's id in a path."""
NO_JOB_IDS = ("sync", "generations", "edits", "extensions", "characters")
"""What stands in a path where a job's id could, and is the name of a route, here or at OpenAI."""


class PlainPaths:
    """Lets a path end with a slash, or double one, as clients write them who join a base URL with a path.

    It must come before whatever decides by the path. A redirect would do the same for some clients only: others do not
    follow it, or not with a body, and behind a proxy the server does not know its own address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "path": _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"}
        await self.app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path as it is in the table of routes: without the prefix below which the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


class _JobId(Convertor[str]):
    regex = f"(?!(?:{'|'.join(NO_JOB_IDS)})(?:/|$))[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor(JOB_ID, _JobId())
