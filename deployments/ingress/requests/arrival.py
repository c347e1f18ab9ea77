"""A request's body as it arrives: within its bound, and not more slowly than the operator allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request

from deployments.ingress.errors import NO_RETRY, ApiError
from deployments.settings.intake import IntakeSettings

MOST_DIGITS = 18
"""The most digits of a size; Python refuses to read numbers of thousands of them."""


def declared_bytes(request: Request, limit: int) -> int | None:
    """How many bytes the body has by its own account, if it says so.

    Raises:
        ApiError: 413, more than the limit.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        return None
    if len(declared) > MOST_DIGITS or int(declared) > limit:
        raise too_large(limit)
    return int(declared)


def too_large(limit: int) -> ApiError:
    """The refusal of a body of more than a number of bytes."""
    return ApiError(413, f"body is too large; expected at most {limit} bytes", param="body")


async def arriving(request: Request, limit: int, settings: IntakeSettings) -> AsyncGenerator[bytes, None]:
    """The pieces of a request's body.

    Raises:
        ApiError: 413, it is larger than the limit; 408, it comes too slowly; 499, the client hung up.
    """
    received, waited = 0, 0.0
    async with aclosing(request.stream()) as chunks:
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(_patience_s(settings, received, waited)):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise _too_slow(settings) from None
            except ClientDisconnect:
                raise ApiError(499, "the client hung up", kind="ClientClosedRequest") from None
            if chunk is None:
                return
            waited += time.monotonic() - started
            received += len(chunk)
            if received > limit:
                raise too_large(limit)
            if chunk:
                yield chunk


def _patience_s(settings: IntakeSettings, received: int, waited: float) -> float:
    """How long to wait for the next piece."""
    if not settings.least_bytes_per_s:
        return settings.idle_s
    ahead = received / settings.least_bytes_per_s - waited
    return min(settings.idle_s, max(0.0, settings.idle_s + ahead))


def _too_slow(settings: IntakeSettings) -> ApiError:
    message = (
        f"body did not arrive in time: for {settings.idle_s:g} s nothing came, or less than "
        f"{settings.least_bytes_per_s} bytes per second on the whole"
    )
    # OpenAI's clients repeat a 408, and would be as slow again.
    return ApiError(408, message, param="body", headers=NO_RETRY | {"Connection": "close"})
