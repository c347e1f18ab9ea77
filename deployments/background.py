"""Tasks that outlive the request that starts them, and the wait between their rounds."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task. The caller must keep it, or it may be garbage-collected while it runs."""
    # In a new context: Serve cancels the tasks of a request's context with that request.
    return asyncio.create_task(work, context=contextvars.Context())


class Background:
    """Tasks that nobody waits for; each is kept until it is done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many tasks are not done."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task and keep it."""
        task = in_background(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def wait_at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait until an event is set or some seconds have passed."""
    # `asyncio.wait_for` loses a cancellation that comes at the same time as the event (Python 3.11).
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
