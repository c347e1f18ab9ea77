"""Files that were fetched: one copy of each content, and for a short time the addresses that led to it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_ADDRESSES = 4096


@dataclass
class _Content:
    """A content, and the addresses that stand for it."""

    content: bytes
    addresses: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Address:
    digest: str
    expires: float


class ContentCache:
    """Contents by their addresses, under a byte budget.

    Attributes:
        held: the bytes of the contents.
    """

    def __init__(self, limit_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = 0
        self._limit = limit_bytes
        self._seconds = seconds
        self._clock = clock
        # Both with the next to go first.
        self._contents: OrderedDict[str, _Content] = OrderedDict()
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def find(self, address: str) -> bytes | None:
        """What an address led to, if that was not long ago."""
        self._expire()
        known = self._addresses.get(address)
        if known is None:
            return None
        self._contents.move_to_end(known.digest)
        return self._contents[known.digest].content

    def keep(self, address: str, digest: str, content: bytes) -> bytes:
        """Keep what an address leads to; returns the copy to use, which others may use as well.

        Args:
            address: the address.
            digest: of the content, by `deployments.wire.encoded_file.digest_of`.
            content: the content.
        """
        self._expire()
        if address in self._addresses:
            self._forget(address)
        if not self._seconds or len(content) > self._limit:
            return content
        kept = self._contents.get(digest)
        if kept is None:
            kept = self._contents[digest] = _Content(content)
            self.held += len(content)
        self._contents.move_to_end(digest)
        kept.addresses.add(address)
        self._addresses[address] = _Address(digest, self._clock() + self._seconds)
        while self.held > self._limit:
            for each in tuple(next(iter(self._contents.values())).addresses):
                self._forget(each)
        while len(self._addresses) > MAX_ADDRESSES:
            self._forget(next(iter(self._addresses)))
        return kept.content

    def _expire(self) -> None:
        now = self._clock()
        while self._addresses and next(iter(self._addresses.values())).expires <= now:
            self._forget(next(iter(self._addresses)))

    def _forget(self, address: str) -> None:
        """Drop an address, and its content if no other stands for it."""
        digest = self._addresses.pop(address).digest
        kept = self._contents[digest]
        kept.addresses.remove(address)
        if not kept.addresses:
            del self._contents[digest]
            self.held -= len(kept.content)
