"""Reads a request's body (JSON, multipart or urlencoded) into plain fields and uploads, within explicit limits.

It knows nothing about the meaning of fields. Its errors name the field or the position and never repeat the content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from deployments.ingress.errors import ApiError
from deployments.ingress.intake import Holding, holding_of
from deployments.ingress.requests.arrival import arriving, declared_bytes
from deployments.ingress.requests.form import MULTIPART, URLENCODED, Upload, read_multipart, read_urlencoded
from deployments.ingress.requests.memory_cost import SETTLED_FACTOR, TEXT_FACTOR, json_cost
from deployments.ingress.requests.strict_json import parse_json

JSON = "application/json"
FORMS = (MULTIPART, URLENCODED)
_INLINE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Body:
    """A request's fields and files, by the names that the client used."""

    fields: dict[str, Any]
    uploads: dict[str, list[Upload]] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A format of whole objects.

    Attributes:
        name: for errors.
        parse: reads it, and raises ValueError if it is malformed.
        cost: the bytes of memory that reading it takes.
    """

    name: str
    parse: Callable[[bytes], Any]
    cost: Callable[[bytes], int]


JSON_FORMAT = Format("JSON", parse_json, json_cost)


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request; empty if it has neither a body nor a media type, so that its fields are missed.

    Raises:
        ApiError: another media type, not JSON, not an object (400), too large (413), too slow (408), or no room (429).
    """
    if media_type(request) == JSON:
        return await read_object(request, JSON_FORMAT)
    if await _has_no_body(request):
        return {}
    raise ApiError(400, "Unsupported Media Type: Only 'application/json' is allowed")


async def read_object(request: Request, format: Format, limit: int | None = None) -> dict[str, Any]:
    """A request's body as an object.

    Args:
        request: the request.
        format: the body's format.
        limit: the most bytes that the body may have; None is the operator's.

    Raises:
        ApiError: as `read_json`.
    """
    holding = holding_of(request)
    content = await _whole(request, holding, limit or holding.settings.request_bytes)
    if not content:
        raise ApiError(400, f"body is empty; expected {format.name}", param="body")
    inline = len(content) < _INLINE_BYTES
    cost = format.cost(content) if inline else await asyncio.to_thread(format.cost, content)
    holding.take(max(0, cost - TEXT_FACTOR * len(content)))
    holding.spare((TEXT_FACTOR - SETTLED_FACTOR) * len(content))
    try:
        parsed = format.parse(content) if inline else await asyncio.to_thread(format.parse, content)
    except ValueError as error:
        raise ApiError(400, f"body is not valid {format.name}: {error}", param="body") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, f"body is {json_type(parsed)}; expected an object", param="body")
    return parsed


async def _whole(request: Request, holding: Holding, limit: int) -> bytes:
    """All of a body, counted before it is kept: what it declares, or each piece."""
    counted = TEXT_FACTOR * (declared_bytes(request, limit) or 0)
    holding.take(counted)
    pieces: list[bytes] = []
    received = 0
    async with aclosing(arriving(request, limit, holding.settings)) as arrived:
        async for piece in arrived:
            received += len(piece)
            if TEXT_FACTOR * received > counted:
                holding.take(TEXT_FACTOR * received - counted)
                counted = TEXT_FACTOR * received
            pieces.append(piece)
    return b"".join(pieces)


async def read_body(request: Request) -> Body:
    """The body of a request in any of the media types that clients of the video routes use.

    Without a body and a media type there are no fields. In forms, an empty value counts as absent, a repeated name or
    `name[]` makes a list, and `name[key]` an object.

    Raises:
        ApiError: as `read_json`, and 503 if the disk has no room.
    """
    kind = media_type(request)
    if kind == JSON:
        return Body(await read_json(request))
    if await _has_no_body(request):
        return Body({})
    if kind not in FORMS:
        expected = ", ".join((JSON, *FORMS))
        raise ApiError(400, f"Unsupported Media Type: expected one of {expected}")
    holding = holding_of(request)
    limit = holding.settings.request_bytes
    declared = declared_bytes(request, limit) or 0
    async with aclosing(arriving(request, limit, holding.settings)) as pieces:
        if kind == MULTIPART:
            if declared > holding.settings.spill_bytes:
                # Most of so much is files.
                holding.reserve_disk(declared)
            form = await read_multipart(pieces, request.headers["content-type"], holding)
        else:
            form = await read_urlencoded(pieces, holding)
    return Body(form.fields, form.uploads)


def json_type(value: Any) -> str:
    """The name of a value's JSON type, with its article."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null", Upload: "a file"}
    return (names | {bytes: "bytes"}).get(type(value), "a number")


def media_type(request: Request) -> str:
    """The media type that a request declares, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _has_no_body(request: Request) -> bool:
    """Whether a request has neither a media type nor a body; otherwise the body may not be read any more."""
    if media_type(request):
        return False
    settings = holding_of(request).settings
    async with aclosing(arriving(request, settings.request_bytes, settings)) as pieces:
        async for _ in pieces:
            return False
    return True
