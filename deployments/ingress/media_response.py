"""A file of the media store as a response with ranges and an ETag, from a disk or from an object store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.ingress.errors import NO_RETRY, ApiError
from deployments.wire.media_store import local_path, media_size, read_media

CHUNK_BYTES = 2**20
# A single range. If a client asks for several of a file in an object store, it gets the whole file, which RFC 9110
# allows: viewers of documents ask for several, players of video do not.
_RANGE = re.compile(r"(\d{0,40})-(\d{0,40})", re.ASCII)
MAX_RANGES = 16


async def media_response(request: Request, uri: str, media_type: str, name: str) -> Response:
    """The file behind a URI.

    Raises:
        ApiError: 404, the file no longer exists.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    _drop_malformed_range(request)
    path = local_path(uri)
    if path is not None:
        found = await asyncio.to_thread(_file_at, path)
        if found is not None:
            return FileResponse(path, media_type=media_type, headers=headers, stat_result=found)
    size = None if path is not None else await asyncio.to_thread(media_size, uri)
    if size is None:
        raise ApiError(404, "the file of this generation is gone")
    # A new object, because Starlette caches the headers of the old one.
    return _remote(Request(request.scope), uri, size, media_type, headers)


async def media_once(
    request: Request, uri: str, media_type: str, headers: dict[str, str], done: Callable[[], None]
) -> ASGIApp:
    """The whole file behind a URI, read as it is sent.

    Args:
        request: the request that it answers.
        uri: the file.
        media_type: its media type.
        headers: of the answer.
        done: called when the answer was sent, or could not be.

    Raises:
        ApiError: 500, the file no longer exists.
    """
    try:
        size = await asyncio.to_thread(media_size, uri)
        if size is None:
            raise ApiError(500, "the file of this generation is gone", headers=NO_RETRY)
    except BaseException:
        done()
        raise
    answer = _stream(request, uri, 0, size, 200, headers | {"Content-Type": media_type})

    async def send_then_done(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await answer(scope, receive, send)
        finally:
            done()

    return send_then_done


def _drop_malformed_range(request: Request) -> None:
    """Remove a malformed Range header, so that the answer is the whole file (RFC 9110, 14.2)."""
    unit, _, ranges = request.headers.get("range", "").partition("=")
    requested = [part for part in ranges.split(",", MAX_RANGES) if part.strip()]
    if unit.lower() != "bytes" or not requested or not all(map(_is_range, requested)):
        headers = request.scope["headers"]
        request.scope["headers"] = [(name, value) for name, value in headers if name.lower() != b"range"]


def _is_range(text: str) -> bool:
    matched = _RANGE.fullmatch(text.strip())
    first, last = matched.groups() if matched else ("", "")
    return bool(first or last) and not (first and last and int(first) > int(last))


def _file_at(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _remote(request: Request, uri: str, size: int, media_type: str, headers: dict[str, str]) -> Response:
    # A result is never overwritten, so its URI identifies its content.
    etag = f'"{hashlib.sha256(uri.encode()).hexdigest()[:32]}"'
    headers = headers | {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": media_type}
    matched = _RANGE.fullmatch(request.headers.get("range", "").partition("=")[2])
    if matched is None or request.headers.get("if-range", etag) != etag:
        return _stream(request, uri, 0, size, 200, headers)
    first, last = matched.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    return _stream(request, uri, start, end, 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{size}"})


def _stream(request: Request, uri: str, start: int, end: int, status: int, headers: dict[str, str]) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for place in range(start, end, CHUNK_BYTES):
            yield await asyncio.to_thread(read_media, uri, place, min(end, place + CHUNK_BYTES))

    headers = headers | {"Content-Length": str(end - start)}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(chunks(), status, headers=headers)
