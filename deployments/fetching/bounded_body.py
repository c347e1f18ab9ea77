"""Reads the body of an answer within a limit, which counts what a compressed body holds and not what it weighs."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from deployments.fetching.errors import FetchError, Outcome

_GZIP = ("gzip", "x-gzip")
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
# A step of decompression holds the event loop for a few milliseconds.
_STEP_BYTES = 2**20


async def read_body(response: httpx.Response, limit: int, take: Callable[[int], None]) -> bytes:
    """The body of an answer.

    Args:
        response: the answer, whose body has not been read yet.
        limit: the most bytes that the body may have, compressed and decompressed.
        take: called with the number of bytes before they are kept; it may refuse them.

    Raises:
        FetchError: the body is too large, or compressed by other means than gzip.
        httpx.HTTPError: the connection broke before the declared end.
    """
    too_large = FetchError(f"leads to a file of more than {limit} bytes; send a smaller one", Outcome.TOO_LARGE)
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    chunks: list[bytes] = []
    received = 0
    async for chunk in _decompressed(response):
        received += len(chunk)
        if received > limit:
            raise too_large
        take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


async def _decompressed(response: httpx.Response) -> AsyncIterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
        return
    # httpx decompresses a whole chunk at once, of which a few kilobytes may hold gigabytes.
    if encoding not in _GZIP:
        raise FetchError("leads to a file that its host compresses by other means than gzip; send the file itself")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    async for chunk in response.aiter_raw():
        for piece in _inflated(inflater, chunk):
            yield piece
        if inflater.eof:
            return
    raise FetchError("leads to a compressed file that ends too early")


def _inflated(inflater: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """What a chunk holds, in pieces of bounded size."""
    while not inflater.eof:
        try:
            piece = inflater.decompress(chunk, _STEP_BYTES)
        except zlib.error:
            raise FetchError("leads to a compressed file that is damaged") from None
        chunk = inflater.unconsumed_tail
        if piece:
            yield piece
        # After a full piece there may be more, even of a chunk that is used up.
        if not chunk and len(piece) < _STEP_BYTES:
            return
