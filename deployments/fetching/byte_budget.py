"""A bound on the bytes that are held for files that have not arrived yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.fetching.errors import busy


class ByteBudget:
    """Bytes that all running fetches of a process hold together; they may run in several threads.

    Attributes:
        held: how many they hold now.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """One fetch's share: a function that adds bytes to it, all of which are given back at the end.

        The function raises FetchError where the budget is used up, and once the share has ended.
        """
        taken = 0
        ended = False

        def take(count: int) -> None:
            nonlocal taken
            with self._lock:
                # A thread goes on for a while after nobody waits for it.
                if ended or self.held + count > self._limit:
                    raise busy()
                self.held += count
                taken += count

        try:
            yield take
        finally:
            with self._lock:
                ended = True
                self.held -= taken
