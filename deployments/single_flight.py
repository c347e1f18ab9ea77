"""Makes one call for all who want the same result at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from deployments.background import in_background

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


@dataclass
class _Flight(Generic[T]):
    """A running call, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[Key, T]):
    """Calls by their keys, for as long as they run."""

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[T]] = {}

    def __len__(self) -> int:
        """How many calls run."""
        return len(self._flights)

    def __contains__(self, key: Key) -> bool:
        """Whether a call runs under a key."""
        return key in self._flights

    async def run(self, key: Key, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the call that runs under a key, or of a new one; its exception is raised for all who wait.

        A call that nobody waits for any more is cancelled.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(in_background(call()))
            flight.task.add_done_callback(lambda _: self._end(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # At once, so that whoever comes now does not wait for a call that is being cancelled.
                self._end(key, flight)
                flight.task.cancel()

    def _end(self, key: Key, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
