"""Streams the events of jobs from the store to their watchers, no matter which process records them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from deployments.background import wait_at_most
from deployments.jobs.database.store import Store
from deployments.jobs.database.threads import DatabaseThreads
from deployments.jobs.job import Job, JobEvent
from deployments.wire.callers import dead_among

POLL_S = 0.5
# How long a job lives after its last listener has gone: a Jobs replica may have to be replaced in that time.
ATTENDED_S = 60.0
ATTEND_PERIOD_S = 5.0
LISTENERS_PERIOD_S = 5.0


class Watchers:
    """Those who watch jobs through one process.

    Args:
        store: the store of the jobs.
        threads: the threads that read it.
    """

    def __init__(self, store: Store, threads: DatabaseThreads) -> None:
        self._store = store
        self._threads = threads
        self._news: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listeners: Counter[Any] = Counter()
        self._dead: set[Any] = set()

    async def watch(
        self, job_id: str, after: int = 0, attend: bool = False, listener: Any = None
    ) -> AsyncGenerator[JobEvent, None]:
        """A job's events from the first one after `after` to its last.

        Two kinds of event are numbered 0 and not kept: `queued`, which says how many jobs wait before this one, and
        `cancelled`, which says that the job was deleted.

        Args:
            job_id: the job's id.
            after: number of the last event that is known.
            attend: whether the job is kept from expiring while it is watched.
            listener: handle of the actor that watches; when it dies, the stream ends.

        Raises:
            DatabaseAway: the database cannot be reached; a new call may continue after the last event.
        """
        position, attended_at = None, -math.inf
        with self._listening(job_id, listener) as news:
            while listener not in self._dead:
                news.clear()
                if attend and time.monotonic() - attended_at > ATTEND_PERIOD_S:
                    attended_at = time.monotonic()
                    await self._threads.run(self._store.attend, job_id, ATTENDED_S)
                job, found = await self._threads.run(self._read, job_id, after)
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
                    ahead = (await self._threads.run(self._store.positions, [job])).get(job_id, position)
                    if ahead != position:
                        position = ahead
                        yield JobEvent(0, "queued", {"position": ahead}, time.time())
                await wait_at_most(POLL_S, news)

    @contextmanager
    def _listening(self, job_id: str, listener: Any) -> Iterator[asyncio.Event]:
        """Count a listener; gives the event that `notify` sets."""
        news = asyncio.Event()
        self._news[job_id].add(news)
        self._listeners[listener] += 1
        try:
            yield news
        finally:
            self._news[job_id].discard(news)
            if not self._news[job_id]:
                del self._news[job_id]
            self._listeners[listener] -= 1
            if not self._listeners[listener]:
                del self._listeners[listener]
                self._dead.discard(listener)

    def _read(self, job_id: str, after: int) -> tuple[Job | None, list[JobEvent]]:
        # The job first: its end and its last event are one transaction, so a final job's last event is then found.
        return self._store.get(job_id), self._store.events(job_id, after)

    async def find_dead(self) -> None:
        """Find out which listeners have died: Ray leaves their streams open."""
        self._dead |= await dead_among(self._listeners)

    def notify(self, job_id: str) -> None:
        """Wake those who watch a job: something may have been recorded."""
        for news in self._news.get(job_id, ()):
            news.set()
