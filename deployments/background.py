"""Tasks that outlive the request in which they begin, and waiting between their rounds."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task; whoever starts it keeps it, or it may be collected while it runs."""
    # A context of its own: Serve cancels the tasks of a request's context with that request.
    return asyncio.create_task(work, context=contextvars.Context())


class Background:
    """Keeps tasks that nobody waits for until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many are not done."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task and keep it."""
        task = in_background(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def within(seconds: float, news: asyncio.Event) -> None:
    """Wait for news, but no longer than some seconds."""
    # `asyncio.wait_for` loses a cancel that comes with the news (Python 3.11).
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
