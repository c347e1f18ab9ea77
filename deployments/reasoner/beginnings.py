"""Streams that begin with an error: vLLM says even what it refuses as an event, and a client looks at the status."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from deployments.wire.reasoner_calls import ReasonerAnswer

_DATA = "data: "


async def begun(events: AsyncGenerator[str, None]) -> ReasonerAnswer | AsyncGenerator[str, None]:
    """The same stream once its first event has come, or a whole answer if that is an error.

    Args:
        events: server-sent events, each whole.
    """
    try:
        first = await anext(events, "")
    except BaseException:
        await events.aclose()
        raise
    refused = _error_in(first)
    if refused is None:
        return _continued(first, events)
    await events.aclose()
    return refused


def _error_in(event: str) -> ReasonerAnswer | None:
    if not event.startswith(f'{_DATA}{{"error"'):
        return None
    try:
        body = json.loads(event.removeprefix(_DATA))
        return ReasonerAnswer(int(body["error"]["code"]), body)
    except (KeyError, TypeError, ValueError):
        return None


async def _continued(first: str, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(events):
        if first:
            yield first
        async for event in events:
            yield event
