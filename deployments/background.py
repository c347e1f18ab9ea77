"""Tasks that outlive the request in which they begin."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task; whoever starts it keeps it, or it may be collected while it runs."""
    # A context of its own: Serve cancels the tasks of a request's context with that request.
    return asyncio.create_task(work, context=contextvars.Context())
