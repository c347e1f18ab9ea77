"""Asks the database from threads, some of them for claims alone: no crowd of readers holds up a lease.

They are not those of `asyncio.to_thread`, so no slow disk or dead replica holds up either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from deployments.jobs.database.connection import AWAY
from deployments.jobs.job import DatabaseAway
from deployments.logs import log

T = TypeVar("T")

READERS, CLAIMERS = 8, 2


class DatabaseThreads:
    """The threads of one process. Both methods raise DatabaseAway where the database cannot be reached."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "database")
        self._claimers = ThreadPoolExecutor(CLAIMERS, "leases")

    async def asked(self, call: Callable[..., T], *arguments: Any) -> T:
        """The answer of a call that reads or changes a job."""
        return await _answer(self._readers, call, *arguments)

    async def leasing(self, call: Callable[..., T], *arguments: Any) -> T:
        """The answer of a call that claims jobs or renews their leases."""
        return await _answer(self._claimers, call, *arguments)


async def _answer(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *arguments))
    except AWAY as error:
        log.warning("the database is away: %s", type(error).__name__)
        raise DatabaseAway("the database is away") from None
