"""A bound on the bytes that a process holds for others, and on those of them that it holds for one of its clients."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self


class NoRoom(Exception):
    """Bytes that a budget has no room for.

    Attributes:
        ever: whether there may be room later.
    """

    def __init__(self, ever: bool) -> None:
        super().__init__("no room later either" if not ever else "no room now")
        self.ever = ever


class ByteBudget:
    """Bytes that a process may hold; those who take them may run in several threads.

    Args:
        limit: the most bytes of all together.
        each: the most bytes of one client; all, if it is None.

    Attributes:
        held: how many bytes are held now.
    """

    def __init__(self, limit: int, each: int | None = None) -> None:
        self.held = 0
        self._limit = limit
        self._each = limit if each is None else each
        self._clients: Counter[str] = Counter()
        self._lock = threading.Lock()

    def share(self, client: str = "") -> Share:
        """A share of it, of no bytes yet, for a client; close it, or use it in a `with` statement."""
        return Share(self, client)

    def _take(self, share: Share, count: int) -> None:
        with self._lock:
            # A thread goes on for a while after nobody waits for it.
            if share.closed or share.taken + count > self._each:
                raise NoRoom(ever=share.closed)
            if self.held + count > self._limit or self._clients[share.client] + count > self._each:
                raise NoRoom(ever=True)
            self._change(share, count)

    def _give(self, share: Share, count: int) -> None:
        with self._lock:
            self._change(share, -min(count, share.taken))

    def _close(self, share: Share) -> None:
        with self._lock:
            share.closed = True
            self._change(share, -share.taken)

    def _change(self, share: Share, count: int) -> None:
        self.held += count
        share.taken += count
        self._clients[share.client] += count
        if not self._clients[share.client]:
            del self._clients[share.client]


class Share:
    """What one request, or one piece of work, holds of a budget.

    Attributes:
        client: for whom.
        taken: how many bytes.
        closed: whether all of them have been given back for good.
    """

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self.client = client
        self.taken = 0
        self.closed = False
        self._budget = budget

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            NoRoom: there is no room for them, or the share is closed.
        """
        self._budget._take(self, count)

    def give(self, count: int) -> None:
        """Give some bytes back."""
        self._budget._give(self, count)

    def close(self) -> None:
        """Give all bytes back, and take none any more; does nothing the second time."""
        self._budget._close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
