"""A request's body as it arrives: within its bound, and not more slowly than the operator allows."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request

from deployments.ingress.errors import NO_RETRY, ApiError, hung_up
from deployments.settings.intake import IntakeSettings

# Of a size. Python refuses to read numbers of thousands of digits.
_MOST_DIGITS = 18


def declared_bytes(request: Request, limit: int) -> int | None:
    """How many bytes the body has by its own account, if it says so.

    Raises:
        ApiError: 413, more than the limit.
    """
    return declared_within(request.headers.get("content-length", ""), limit)


def declared_within(content_length: str, limit: int) -> int | None:
    """As `declared_bytes`, of the value of the header `Content-Length`."""
    if not content_length.isdecimal():
        return None
    if len(content_length) > _MOST_DIGITS or int(content_length) > limit:
        raise too_large(limit)
    return int(content_length)


def too_large(limit: int) -> ApiError:
    """The refusal of a body of more than a number of bytes."""
    return ApiError(413, f"body is too large; expected at most {limit} bytes", param="body")


async def arriving(request: Request, limit: int, settings: IntakeSettings) -> AsyncGenerator[bytes, None]:
    """The pieces of a request's body.

    Raises:
        ApiError: 413, it is larger than the limit; 408, it comes too slowly; 499, the client hung up.
    """
    received, waited, rate = 0, 0.0, _least_rate(settings, declared_bytes(request, limit) or 0)
    async with aclosing(request.stream()) as chunks:
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(_patience_s(settings, rate, received, waited)):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise _too_slow(settings, rate) from None
            except ClientDisconnect:
                raise hung_up() from None
            if chunk is None:
                return
            waited += time.monotonic() - started
            received += len(chunk)
            if received > limit:
                raise too_large(limit)
            if chunk:
                yield chunk


def _least_rate(settings: IntakeSettings, declared: int) -> float:
    """Bytes per second that a body has to have on the whole; what it declares is held for it until it has come."""
    return max(settings.least_bytes_per_s, declared / settings.arrival_s)


def _patience_s(settings: IntakeSettings, rate: float, received: int, waited: float) -> float:
    """How long to wait for the next piece."""
    # A body of unknown size that comes fast enough still ends in time.
    allowed = min(received / rate if rate else math.inf, settings.arrival_s)
    return min(settings.idle_s, max(0.0, settings.idle_s + allowed - waited))


def _too_slow(settings: IntakeSettings, rate: float) -> ApiError:
    message = (
        f"body did not arrive in time: for {settings.idle_s:g} s nothing came, or less than "
        f"{math.ceil(rate)} bytes per second on the whole, or not all of it in {settings.arrival_s:g} s"
    )
    # OpenAI's clients repeat a 408, and would be as slow again.
    return ApiError(408, message, param="body", headers=NO_RETRY | {"Connection": "close"})
