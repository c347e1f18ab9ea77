"""Fetches the files of a replica's requests, within bounds on all of them together, each file once for all who want it.

What metrics and the log say of a file names its host at most, because a path or a query may hold a credential.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from deployments.addresses import Target
from deployments.byte_budget import ByteBudget, NoRoom
from deployments.fetching.content_cache import ContentCache
from deployments.fetching.errors import FetchError, Outcome, busy
from deployments.fetching.http_file import Limits, fetch_http, took_too_long
from deployments.fetching.local_file import read_local
from deployments.fetching.policy import AddressPolicy
from deployments.logs import log
from deployments.settings.fetching import FETCHED_FACTOR, FetchSettings
from deployments.single_flight import SingleFlight
from deployments.wire.encoded_file import digest_of

_WEB = ("http:", "https:")
_LOCAL = "file:"
_LONGEST_SCHEME = max(map(len, (*_WEB, _LOCAL)))


def is_address(text: str) -> bool:
    """Whether a text is the address of a file rather than the file; of http, https and `file://`, fetched or not."""
    return text[:_LONGEST_SCHEME].lower().startswith((*_WEB, _LOCAL))


def is_local(address: str) -> bool:
    """Whether an address is that of a file of this machine."""
    return address.startswith("/") or address[: len(_LOCAL)].lower() == _LOCAL


class Fetcher:
    """Fetches files by their addresses.

    Args:
        settings: the operator's.
        budget: what the replica may hold; a running fetch counts for the client that asked first.
        count: called with the outcome of every attempt.

    Attributes:
        settings: the operator's.
    """

    def __init__(self, settings: FetchSettings, budget: ByteBudget, count: Callable[[Outcome], None]) -> None:
        self.settings = settings
        self._count = count
        self._policy = AddressPolicy(settings.enabled, settings.hosts, settings.allow_private)
        self._cache = ContentCache(settings.cache_bytes, settings.cache_s)
        self._flights: SingleFlight[tuple[Target, float], bytes] = SingleFlight()
        self._turns = asyncio.Semaphore(settings.concurrent)
        self._clients: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()
        self._budget = budget

    async def fetch(self, address: str, timeout_s: float, client: str = "") -> bytes:
        """The file at an address. Its content may be anything, whatever its host says of it.

        Args:
            address: a URL, or an absolute path.
            timeout_s: how long it may take, not counting how long it waits for its turn, which may be as long.
            client: who asks; one client has at most half of the turns.

        Raises:
            FetchError: it cannot or may not be fetched, or not now.
        """
        started, local = time.monotonic(), is_local(address)
        where = "this machine" if local else "a host that was not asked"
        try:
            if local:
                content, outcome = await self._read(address, timeout_s, client), Outcome.READ
            else:
                target = self._policy.check(address)
                where = target.host
                content, outcome = await self._find(target, timeout_s, client)
        except FetchError as error:
            self._count(error.outcome)
            log.warning("a file of %s was not fetched: %s", where, error.detail or error.reason)
            raise
        self._count(outcome)
        log.info("a file of %s was %s: %d bytes in %.3f s", where, outcome, len(content), time.monotonic() - started)
        return content

    async def _read(self, address: str, timeout_s: float, client: str) -> bytes:
        async with self._turn(timeout_s, client):
            with self._counted(client) as take:
                return await asyncio.to_thread(read_local, address, self.settings.roots, self.settings.max_bytes, take)

    async def _find(self, target: Target, timeout_s: float, client: str) -> tuple[bytes, Outcome]:
        kept = self._cache.find(target.url)
        if kept is not None:
            return kept, Outcome.CACHED
        # Whoever may wait longer does not share the failure of one who may not.
        content = await self._flights.run((target, timeout_s), lambda: self._fetch(target, timeout_s, client))
        return content, Outcome.FETCHED

    async def _fetch(self, target: Target, timeout_s: float, client: str) -> bytes:
        limits = Limits(self.settings.redirects, self.settings.max_bytes, timeout_s, self.settings.proxy)
        async with self._turn(timeout_s, client):
            with self._counted(client) as take:
                try:
                    async with asyncio.timeout(timeout_s):
                        found = await fetch_http(target, self._policy, limits, take)
                except TimeoutError:
                    raise took_too_long(timeout_s) from None
                if not found.may_be_kept:
                    return found.content
                digest = await asyncio.to_thread(digest_of, found.content)
                return self._cache.keep(target.url, digest, found.content)

    @contextmanager
    def _counted(self, client: str) -> Iterator[Callable[[int], None]]:
        """A function that counts the bytes of a file before they are kept, until the file is handed over."""
        with self._budget.share(client) as share:

            def take(count: int) -> None:
                try:
                    share.take(FETCHED_FACTOR * count)
                except NoRoom:
                    raise busy() from None

            yield take

    @asynccontextmanager
    async def _turn(self, timeout_s: float, client: str) -> AsyncIterator[None]:
        own = self._clients.setdefault(client, asyncio.Semaphore(max(1, self.settings.concurrent // 2)))
        self._waiting[client] += 1
        try:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(timeout_s):
                        # First the client's own, so that what it waits for there holds up nobody else.
                        await held.enter_async_context(own)
                        await held.enter_async_context(self._turns)
                except TimeoutError:
                    raise busy() from None
                yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client], self._clients[client]
