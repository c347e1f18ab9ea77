"""Tells whoever watches a job what happens to it, from the store, whichever process it happens in."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from typing import Any

from deployments.background import within
from deployments.jobs.database.store import Store
from deployments.jobs.database.threads import DatabaseThreads
from deployments.jobs.job import Job, JobEvent
from deployments.wire.callers import dead_among

POLL_S = 0.5
# How long a job that is waited for outlives whoever waits: a Jobs replica may have to be replaced meanwhile.
ATTENDED_S = 60.0
ATTEND_PERIOD_S = 5.0
LISTENERS_PERIOD_S = 5.0


class Watchers:
    """Those who watch jobs through one process.

    Args:
        store: of the jobs.
        threads: that ask it.
    """

    def __init__(self, store: Store, threads: DatabaseThreads) -> None:
        self._store = store
        self._threads = threads
        self._news: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._watching: Counter[Any] = Counter()
        self._dead: set[Any] = set()

    async def watch(
        self, job_id: str, after: int = 0, attend: bool = False, listener: Any = None
    ) -> AsyncGenerator[JobEvent, None]:
        """A job's events from the first one after `after` to its last.

        Numbered 0, and not kept, are `queued`, which tells how many jobs wait before it, and `cancelled`, the end of a
        job that is not there any more.

        Args:
            job_id: of the job.
            after: number of the last event that is known.
            attend: whether the job lives as long as somebody watches it.
            listener: handle of the actor that watches; when it dies, this ends.

        Raises:
            DatabaseAway: it goes on behind the last event when it is watched again.
        """
        news = asyncio.Event()
        self._news[job_id].add(news)
        self._watching[listener] += 1
        position, attended_at = None, -math.inf
        try:
            while True:
                news.clear()
                if listener in self._dead:
                    return
                if attend and time.monotonic() - attended_at > ATTEND_PERIOD_S:
                    attended_at = time.monotonic()
                    await self._threads.asked(self._store.attend, job_id, ATTENDED_S)
                job, found = await self._threads.asked(self._now, job_id, after)
                for event in found:
                    after = event.number
                    yield event
                    if event.last:
                        return
                if job is None:
                    yield JobEvent(0, "cancelled", {}, time.time())
                    return
                if job.final and not found:
                    return
                if found:
                    continue
                if job.status == "queued":
                    ahead = (await self._threads.asked(self._store.positions, [job])).get(job_id, position)
                    if ahead != position:
                        position = ahead
                        yield JobEvent(0, "queued", {"position": ahead}, time.time())
                await within(POLL_S, news)
        finally:
            self._news[job_id].discard(news)
            if not self._news[job_id]:
                del self._news[job_id]
            self._watching[listener] -= 1
            if not self._watching[listener]:
                del self._watching[listener]
                self._dead.discard(listener)

    def _now(self, job_id: str, after: int) -> tuple[Job | None, list[JobEvent]]:
        # The job before the events: what ends a job and the event that tells of it come together.
        return self._store.get(job_id), self._store.events(job_id, after)

    async def find_dead(self) -> None:
        """Find out which of the processes that watch have died: Ray leaves their streams open."""
        self._dead |= await dead_among(self._watching)

    def tell(self, job_id: str) -> None:
        """There is news of a job."""
        for news in self._news.get(job_id, ()):
            news.set()
