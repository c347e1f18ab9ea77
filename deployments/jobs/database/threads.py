"""Runs database calls in threads.

Claims and renewals of leases have their own threads, so that many readers cannot delay them. None of these are the
threads of `asyncio.to_thread`, so a slow disk or a dead replica delays no database call.
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

JOB_THREADS, LEASE_THREADS = 8, 2


class DatabaseThreads:
    """The threads of one process. Both methods raise DatabaseAway if the database cannot be reached."""

    def __init__(self) -> None:
        self._job_threads = ThreadPoolExecutor(JOB_THREADS, "database")
        self._lease_threads = ThreadPoolExecutor(LEASE_THREADS, "leases")

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call that reads or changes a job."""
        return await _run_in(self._job_threads, call, *arguments)

    async def run_lease(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call that claims jobs or renews their leases."""
        return await _run_in(self._lease_threads, call, *arguments)


async def _run_in(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *arguments))
    except AWAY as error:
        log.warning("the database is away: %s", type(error).__name__)
        raise DatabaseAway("the database is away") from None
