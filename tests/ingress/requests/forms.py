"""Requests with bodies, as clients write them, and their results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from deployments.ingress.errors import ApiError
from deployments.ingress.intake import Intake
from deployments.ingress.requests.body import Body, read_body
from deployments.settings.intake import IntakeSettings

URL = "http://server/v1/videos"


def request_of(
    content: bytes,
    content_type: str | None,
    chunk: int = 2**16,
    length: str | None = None,
    settings: IntakeSettings | None = None,
) -> Request:
    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    if length is not None:
        headers.append((b"content-length", length.encode()))
    pieces = [content[start : start + chunk] for start in range(0, len(content), chunk)] or [b""]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    scope["state"] = {"holding": Intake(settings or IntakeSettings()).holding()}
    return Request(scope, receive)


def read(request: httpx.Request, chunk: int = 2**16) -> Body:
    return asyncio.run(read_body(request_of(request.read(), request.headers.get("content-type"), chunk)))


def text_parts(*parts: tuple[str, str]) -> httpx.Request:
    return httpx.Request("POST", URL, files=[(name, (None, text.encode())) for name, text in parts])


def refused(reader: Callable[[Request], Awaitable[Any]], content: bytes, content_type: str | None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        asyncio.run(awaited(reader, request_of(content, content_type)))
    return caught.value


async def awaited(reader: Callable[[Request], Awaitable[Any]], request: Request) -> Any:
    return await reader(request)
