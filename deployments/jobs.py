"""The Jobs deployment: accepts generations, drives those it has claimed, tells whoever asks how any of them goes.

A job belongs to the store, not to the process that accepted it: any replica answers for any job, and takes over what
another one has left in the middle. A synchronous generation is a job that somebody waits for, and expires when nobody
does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import ray

from deployments.admission import IdempotencyMismatch, QueueFull
from deployments.background import in_background
from deployments.database import Database
from deployments.deliveries import Deliveries
from deployments.driver import Driver
from deployments.folder_lock import FolderLock
from deployments.job import EventKind, Job, JobEvent, JobKind
from deployments.logs import log
from deployments.media_store import delete_media
from deployments.scheduler import ServiceClass
from deployments.settings import FrontSettings
from deployments.stages import FRONT, stage
from deployments.store import Page, Store
from deployments.sweep import Sweep

Round = Callable[[], Awaitable[object]]

POLL_S = 0.5
# A replica that replaces another one may meet it still alive.
LOCK_PATIENCE_S = 45.0
DELETE_TIMEOUT_S = 10.0
RENEWALS_PER_LEASE = 5
# How long a job that is waited for outlives whoever waits: a Jobs replica may have to be replaced meanwhile.
ATTENDED_S = 60.0
ATTEND_PERIOD_S = 5.0
DELIVERY_PERIOD_S = 1.0


class Jobs:
    """Deployment: the only one that opens the database."""

    async def __init__(self, settings: FrontSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        self.settings = settings
        # For a reader of the database or the log; the last part alone makes it one of a kind.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._lock = None
        if settings.database is None:
            self._lock = await asyncio.to_thread(FolderLock, settings.folder, _graph(), LOCK_PATIENCE_S)
        self._database = await asyncio.to_thread(Database, settings.database_url)
        self.store = Store(self._database)
        self._bounds = settings.bounds()
        self._sweep = Sweep(self._database, self.store, settings, self.delete)
        self._deliveries = Deliveries(self._database, settings.webhooks)
        self._drivers: dict[str, tuple[Job, asyncio.Task[None]]] = {}
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._work = asyncio.Event()
        self._background: set[asyncio.Task[Any]] = set()
        self._counts = dict.fromkeys(("accepted", "refused", "completed", "failed", "cancelled", "retried"), 0)
        rounds: list[tuple[Round, Round]] = [
            (self._claim_all, self._until_work),
            (self._renew, partial(asyncio.sleep, settings.lease_s / RENEWALS_PER_LEASE)),
            (self._sweep.run, partial(asyncio.sleep, settings.retention.sweep_interval_s)),
            (self._deliveries.run, partial(asyncio.sleep, DELIVERY_PERIOD_S)),
        ]
        self._loops = [in_background(_repeat(work, pause)) for work, pause in rounds]

    async def check_health(self) -> None:
        """Serve asks this at start and ever after.

        Raises:
            RuntimeError: the cluster has grown beyond the machine whose disk keeps the jobs, or a loop has ended.
        """
        if any(loop.done() for loop in self._loops):
            raise RuntimeError("a loop of Jobs has ended")
        alive = sum(node["Alive"] for node in await asyncio.to_thread(ray.nodes))
        if alive > 1 and self.settings.local_places and not self.settings.single_host:
            places = " and ".join(self.settings.local_places)
            raise RuntimeError(
                f"{places} on one machine's disk, and the cluster has {alive} nodes: name a shared database and object "
                "store, or write single_host: true where all nodes are this machine"
            )

    # Accepting

    async def submit(self, job: Job) -> Job:
        """Keep a job; once this returns, it is not lost. Asked again, it changes nothing.

        Returns:
            The job as it is kept, which may be an earlier one with the same idempotency key.

        Raises:
            QueueFull: more is unfinished than the bounds allow.
            IdempotencyMismatch: another request came with its idempotency key before.
        """
        # Shielded: a caller that gives up in the middle must not leave half of it.
        return await asyncio.shield(self._in_background(self._accept(job)))

    async def _accept(self, job: Job) -> Job:
        lives = None if job.detached else ATTENDED_S
        try:
            stored = await asyncio.to_thread(self.store.create, job, self._bounds, lives)
        except (QueueFull, IdempotencyMismatch):
            self._counts["refused"] += 1
            await asyncio.to_thread(_delete_media, job)
            raise
        if stored.id != job.id:
            await asyncio.to_thread(_delete_media, job)
        else:
            self._counts["accepted"] += 1
            self._work.set()
        return stored

    # Telling

    async def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        return await asyncio.to_thread(self.store.get, job_id)

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int | None, order: Literal["asc", "desc"]
    ) -> Page:
        """Some jobs, as `store.Store.page` says."""
        return await asyncio.to_thread(
            lambda: self.store.page(kind, api_key=api_key, after=after, limit=limit, order=order)
        )

    async def position(self, job: Job) -> int:
        """How many jobs wait before a queued one."""
        return await asyncio.to_thread(self.store.position, job)

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        return await asyncio.to_thread(self.store.last_event, job_id, kind)

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncGenerator[JobEvent, None]:
        """A job's events from the first one after `after` to its last; ends at once where there is no such job.

        Numbered 0, and not kept, are `queued`, which tells how many jobs wait before it, and `cancelled`, the end of a
        job that was deleted.

        Args:
            job_id: of the job.
            after: number of the last event that is known.
            attend: whether the job lives as long as somebody watches it.
        """
        news = asyncio.Event()
        self._listeners[job_id].add(news)
        position, attended_at, seen = None, 0.0, False
        try:
            while True:
                news.clear()
                # Before the events: what ends a job and the event that tells of it come together.
                job = await self.get(job_id)
                if attend and time.monotonic() - attended_at > ATTEND_PERIOD_S:
                    attended_at = time.monotonic()
                    await asyncio.to_thread(self.store.attend, job_id, ATTENDED_S)
                found = await asyncio.to_thread(self.store.events, job_id, after)
                for event in found:
                    after = event.number
                    yield event
                    if event.last:
                        return
                if job is None and seen:
                    yield JobEvent(0, "cancelled", {}, time.time())
                if job is None or (job.final and not found):
                    return
                seen = True
                if job.status == "queued":
                    ahead = await asyncio.to_thread(self.store.position, job)
                    if ahead != position:
                        position = ahead
                        yield JobEvent(0, "queued", {"position": ahead}, time.time())
                if not found:
                    await _within(POLL_S, news)
        finally:
            self._listeners[job_id].discard(news)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    def _tell(self, job_id: str) -> None:
        for news in self._listeners.get(job_id, ()):
            news.set()

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`; what is unfinished is the same in every replica."""
        usage = await asyncio.to_thread(self.store.usage)
        return {
            **self._counts,
            "driving": len(self._drivers),
            "unfinished": usage.jobs,
            "unfinished_gpu_seconds": usage.gpu_seconds,
            **self._sweep.counts,
            **self._deliveries.counts,
        }

    # Ending

    async def delete(self, job_id: str) -> Job | None:
        """Remove a job, stop it where it runs, remove its media, and return what it was; None where there is none."""
        job = await asyncio.to_thread(self.store.delete, job_id)
        if job is None:
            return None
        self._tell(job_id)
        if job_id in self._drivers:
            await self.stop(job_id)
        elif job.owner is not None:
            # Its owner would notice at its next step. This tells it at once, where it can be told.
            self._in_background(asyncio.to_thread(_stop_elsewhere, job_id))
        await asyncio.to_thread(_delete_media, job)
        return job

    async def stop(self, job_id: str) -> None:
        """Stop driving a job here, if it is driven here."""
        if job_id not in self._drivers:
            return
        _, driver = self._drivers[job_id]
        # Once only: a second cancel would interrupt what the first one began.
        if not driver.cancelling():
            driver.cancel()
        self._tell(job_id)
        await asyncio.wait([driver], timeout=DELETE_TIMEOUT_S)

    # Driving

    async def _claim_all(self) -> None:
        """Claim what there is, up to the bound of each class; beyond it one job of each key of which nothing runs."""
        for service_class in ServiceClass:
            while True:
                running = Counter(job.service_class for job, _ in self._drivers.values())
                full = running[service_class] >= self.settings.max_running
                job = await asyncio.to_thread(
                    self.store.claim, self.owner, service_class.value, self.settings.lease_s, only_idle_keys=full
                )
                if job is None:
                    break
                self._drive(job)

    async def _until_work(self) -> None:
        await _within(POLL_S, self._work)
        self._work.clear()

    def _drive(self, job: Job) -> None:
        driver = Driver(job, self.owner, self.store, self.settings, self._tell, self._counts)
        task = in_background(driver.run())
        self._drivers[job.id] = (job, task)
        task.add_done_callback(lambda _: self._ended(job.id))

    def _ended(self, job_id: str) -> None:
        _, task = self._drivers.pop(job_id)
        if task.cancelled():
            self._counts["cancelled"] += 1
        self._work.set()

    async def _renew(self) -> None:
        """Renew the leases, and stop what is no longer driven from here."""
        driven = set(self._drivers)
        kept = await asyncio.to_thread(self.store.renew, self.owner, self.settings.lease_s)
        for job_id in driven - kept:
            if job_id in self._drivers and (await self._lost(job_id)):
                self._in_background(self.stop(job_id))

    async def _lost(self, job_id: str) -> bool:
        job = await self.get(job_id)
        return job is None or (not job.final and job.owner != self.owner)

    # Around it

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = in_background(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def __del__(self) -> None:
        """Serve calls this when it stops a replica: others need not wait for the leases to lapse."""
        store = getattr(self, "store", None)
        if store is not None:
            with suppress(Exception):
                store.release(self.owner)


def _graph() -> str:
    """Which graph this process belongs to: another Ray cluster is another graph."""
    address: str = ray.get_runtime_context().gcs_address
    return address


async def _repeat(work: Round, pause: Round) -> None:
    while True:
        try:
            await work()
        except Exception:
            # The database may be away for a while; everything goes on when it is back.
            log.exception("a round of Jobs' own work failed")
            await asyncio.sleep(POLL_S)
        await pause()


def _stop_elsewhere(job_id: str) -> None:
    try:
        stage("Jobs", FRONT).broadcast("stop", job_id).results(timeout_s=DELETE_TIMEOUT_S)
    except Exception as error:  # A replica that dies just now drives nothing any more.
        log.debug("not told of the end of %s: %s", job_id, error)


def _delete_media(job: Job) -> None:
    for uri in job.media():
        delete_media(uri)


async def _within(seconds: float, news: asyncio.Event) -> None:
    # `asyncio.wait_for` loses a cancel that comes with the news (Python 3.11).
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
