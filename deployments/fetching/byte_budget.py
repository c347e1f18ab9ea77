"""A bound on the bytes that are held for files that have not arrived yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.fetching.errors import busy


class ByteBudget:
    """Bytes that all running fetches of a process hold together.

    Attributes:
        held: how many they hold now.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """One fetch's share: a function that adds bytes to it, all of which are given back at the end.

        The function raises FetchError where the budget is used up.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self.held + count > self._limit:
                raise busy()
            self.held += count
            taken += count

        try:
            yield take
        finally:
            self.held -= taken
