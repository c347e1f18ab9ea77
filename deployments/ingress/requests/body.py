"""Reads a request's body (JSON, multipart or urlencoded) into plain fields and uploads, within explicit limits.

It knows nothing about the meaning of fields. Its errors name the field or the position and never repeat the content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.bracket_notation import nested
from deployments.ingress.requests.strict_json import parse_json

MAX_BODY_BYTES = 512 * 2**20
MAX_TEXT_BYTES = 128 * 2**20
"""The limit of a form field that is not a file. Starlette's default, 1 MiB, is too small for most data URIs."""
MAX_FIELDS = 10_000
MAX_FILES = 64

JSON = "application/json"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_INLINE_BYTES = 64 * 2**10
# Holds the last boundary, of at most 70 characters, and an epilogue after it.
_TAIL_BYTES = 2**16


@dataclass(frozen=True)
class Upload:
    """A file part. The name comes from the client and is never used as a path."""

    name: str
    content: bytes
    content_type: str | None = None


@dataclass(frozen=True)
class Body:
    """A request's fields and files, by the names that the client used."""

    fields: dict[str, Any]
    uploads: dict[str, list[Upload]] = field(default_factory=dict)


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request; empty if it has neither a body nor a media type, so that its fields are missed.

    Raises:
        ApiError: another media type, not JSON, not an object (400), or too large (413).
    """
    if media_type(request) == JSON:
        return await read_object(request, parse_json, "JSON", MAX_BODY_BYTES)
    if await _has_no_body(request):
        return {}
    raise ApiError(400, "Unsupported Media Type: Only 'application/json' is allowed")


async def read_object(request: Request, parse: Callable[[bytes], Any], format_name: str, limit: int) -> dict[str, Any]:
    """A request's body as an object.

    Args:
        request: the request.
        parse: reads the body's format, and raises ValueError if it is malformed.
        format_name: the format's name for errors.
        limit: the most bytes that the body may have.

    Raises:
        ApiError: malformed, not an object (400), or more bytes than the limit (413).
    """
    async with aclosing(_capped(request, limit)) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    if not content:
        raise ApiError(400, f"body is empty; expected {format_name}", param="body")
    try:
        parsed = parse(content) if len(content) < _INLINE_BYTES else await asyncio.to_thread(parse, content)
    except ValueError as error:
        raise ApiError(400, f"body is not valid {format_name}: {error}", param="body") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, f"body is {json_type(parsed)}; expected an object", param="body")
    return parsed


async def read_body(request: Request) -> Body:
    """The body of a request in any of the media types that clients of the video routes use.

    Without a body and a media type there are no fields. In forms, an empty value counts as absent, a repeated name or
    `name[]` makes a list, and `name[key]` an object.

    Raises:
        ApiError: another media type, malformed (400), or too large (413).
    """
    kind = media_type(request)
    if kind == JSON:
        return Body(await read_json(request))
    if await _has_no_body(request):
        return Body({})
    if kind not in FORMS:
        expected = ", ".join((JSON, *FORMS))
        raise ApiError(400, f"Unsupported Media Type: expected one of {expected}")
    limits = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": MAX_TEXT_BYTES}
    completeness = _CompletenessCheck(request)
    try:
        async with (
            aclosing(completeness.watched(_capped(request, MAX_BODY_BYTES))) as chunks,
            _replayed(request, chunks).form(**limits) as form,
        ):
            completeness.check()
            return await _form_body(form)
    except HTTPException as error:
        raise ApiError(400, f"body is not a valid form: {error.detail}", param="body") from None
    except MultiPartException as error:
        raise ApiError(400, f"body is not a valid form: {error.message}", param="body") from None
    except FormParserError as error:
        raise ApiError(400, f"body is not a valid form: {error}", param="body") from None
    except ValueError:
        raise ApiError(400, "body is not a valid form", param="body") from None


class _CompletenessCheck:
    """Checks that a multipart body is complete, because Starlette's parser accepts a truncated one."""

    def __init__(self, request: Request) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        multipart = media_type(request) == FORMS[0]
        boundary = options.get(b"boundary") if multipart else None
        self._delimiter = None if boundary is None else b"--" + boundary + b"--"
        self._tail = b""

    async def watched(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The same chunks."""
        async with aclosing(chunks):
            async for chunk in chunks:
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
                yield chunk

    def check(self) -> None:
        """Check the body, once all of it has been read.

        Raises:
            ApiError: 400, the body was truncated.
        """
        if self._delimiter is not None and self._delimiter not in self._tail:
            raise ApiError(400, "body is not a valid form: it ends before its last boundary", param="body")


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
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            if chunk:
                return False
    return True


async def _capped(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    too_large = ApiError(413, f"body is too large; expected at most {limit} bytes", param="body")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise too_large
    received = 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            if received > limit:
                raise too_large
            yield chunk


def _replayed(request: Request, chunks: AsyncGenerator[bytes, None]) -> Request:
    """The request with these chunks as its body, so that Starlette's form parser reads them and nothing else."""

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return Request(request.scope, receive)


async def _form_body(form: FormData) -> Body:
    texts: list[tuple[str, str]] = []
    uploads: dict[str, list[Upload]] = {}
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            texts.append((name, part))
            continue
        content = await part.read()
        # A browser sends an empty part for a file input without a file.
        if part.filename or content:
            upload = Upload(part.filename or "", content, part.content_type)
            uploads.setdefault(name.removesuffix("[]"), []).append(upload)
    return Body(nested(texts), uploads)
