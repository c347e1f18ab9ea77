"""The Jobs deployment: accepts generations, drives those that it has claimed, and reports the state of any of them.

A job belongs to the store, not to the process that accepted it: any replica answers for any job, and continues one
that another replica has left unfinished. A synchronous generation is a job that a client waits for; it expires when no
client does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Literal

import ray

from deployments.background import Background, in_background
from deployments.jobs.admission import Bounds, IdempotencyMismatch, QueueFull
from deployments.jobs.claims import Claims
from deployments.jobs.database.connection import Database
from deployments.jobs.database.store import Store
from deployments.jobs.database.threads import DatabaseThreads
from deployments.jobs.deliveries import Deliveries
from deployments.jobs.folder_lock import FolderLock
from deployments.jobs.job import EventKind, Job, JobEvent, JobKind, Page
from deployments.jobs.sweep import Sweep
from deployments.jobs.watching import ATTENDED_S, LISTENERS_PERIOD_S, Watchers
from deployments.logs import log
from deployments.names import FRONT
from deployments.settings.front import FrontSettings
from deployments.stop_detection import StopDetector
from deployments.wire.handles import handle_of
from deployments.wire.media_store import delete_media
from deployments.wire.replica import Replica

AsyncCall = Callable[[], Awaitable[object]]

FAILURE_PAUSE_S = 0.5
# A replica that replaces another one may start while that one still holds the lock.
LOCK_PATIENCE_S = 45.0
BROADCAST_TIMEOUT_S = 10.0
RENEWALS_PER_LEASE = 5
DELIVERY_PERIOD_S = 1.0
SILENCE_S = 20.0


class Jobs(Replica):
    """Deployment: the only one that opens the database."""

    async def __init__(self, settings: FrontSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        self.settings = settings
        self._lock = None
        if settings.database is None:
            self._lock = await asyncio.to_thread(FolderLock, settings.folder, _graph(), LOCK_PATIENCE_S)
        self._database = await asyncio.to_thread(Database, settings.database_url)
        self.store = Store(self._database)
        self._threads = DatabaseThreads()
        self._bounds = Bounds.of(settings)
        self._counts = dict.fromkeys(("accepted", "refused", "completed", "failed", "cancelled", "retried"), 0)
        self._watchers = Watchers(self.store, self._threads)
        self._claims = Claims(self.store, self._threads, settings, self._watchers.notify, self._counts)
        self._sweep = Sweep(self.store, settings, self._delete)
        self._deliveries = Deliveries(self._database, settings.webhooks)
        self._background = Background()
        self._stop_detector = StopDetector(SILENCE_S)
        loops: list[tuple[AsyncCall, AsyncCall]] = [
            (self._claim_all, self._claims.until_work),
            (self._claims.renew, partial(asyncio.sleep, settings.lease_s / RENEWALS_PER_LEASE)),
            (self._sweep.run, partial(asyncio.sleep, settings.retention.sweep_interval_s)),
            (self._deliveries.run, partial(asyncio.sleep, DELIVERY_PERIOD_S)),
            (self._watchers.find_dead, partial(asyncio.sleep, LISTENERS_PERIOD_S)),
        ]
        self._loops = [in_background(_repeat(work, pause)) for work, pause in loops]

    async def check_health(self) -> None:
        """Serve calls this at the start and regularly after it.

        Raises:
            RuntimeError: the cluster has several nodes and the jobs are kept on the disk of one, or a loop has ended.
        """
        self._stop_detector.record_contact()
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
        """Keep a job; once this returns, it is not lost. Submitting it again changes nothing.

        Returns:
            The job as it is kept, which may be an earlier one with the same idempotency key.

        Raises:
            QueueFull: more is unfinished than the bounds allow.
            IdempotencyMismatch: another request came with its idempotency key before.
            DatabaseAway: it may or may not have been kept.
        """
        # Shielded: a caller that disconnects must not leave this half done.
        return await asyncio.shield(self._background.start(self._accept(job)))

    async def _accept(self, job: Job) -> Job:
        expires_after_s = None if job.detached else ATTENDED_S
        try:
            stored = await self._threads.run(self.store.create, job, self._bounds, expires_after_s)
        except (QueueFull, IdempotencyMismatch):
            self._counts["refused"] += 1
            await asyncio.to_thread(_delete_media, job)
            raise
        if stored.id != job.id:
            await asyncio.to_thread(_delete_media, job)
        else:
            self._counts["accepted"] += 1
            self._claims.wake()
        return stored

    # Reading

    async def get(self, job_id: str) -> Job | None:
        """A job; None if there is no such job."""
        return await self._threads.run(self.store.get, job_id)

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> Page:
        """Some jobs; see `store.Store.page`."""
        return await self._threads.run(
            partial(self.store.page, kind, api_key=api_key, after=after, limit=limit, order=order)
        )

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        """How many jobs wait before each of some queued jobs, by its id."""
        return await self._threads.run(self.store.positions, jobs)

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        return await self._threads.run(self.store.last_event, job_id, kind)

    async def watch(
        self, job_id: str, after: int = 0, attend: bool = False, listener: Any = None
    ) -> AsyncGenerator[JobEvent, None]:
        """A job's events; see `watching.Watchers.watch`."""
        async with aclosing(self._watchers.watch(job_id, after, attend, listener)) as events:
            async for event in events:
                yield event

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`; those of unfinished work are the same in every replica."""
        usage = await self._threads.run(self.store.usage)
        return {
            **self._counts,
            "driving": len(self._claims.driven),
            "unfinished": usage.jobs,
            "unfinished_gpu_seconds": usage.gpu_seconds,
            **self._sweep.counts,
            **self._deliveries.counts,
        }

    # Driving and deleting

    async def _claim_all(self) -> None:
        if not self._stop_detector.stop_expected:
            await self._claims.claim_all()

    async def delete(self, job_id: str) -> Job | None:
        """Remove a job and its media, and stop it where it runs; returns the job as it was, or None."""
        # Shielded: a caller that disconnects must not leave this half done.
        return await asyncio.shield(self._background.start(self._delete(job_id, False)))

    async def _delete(self, job_id: str, expired: bool) -> Job | None:
        job = await self._threads.run(partial(self.store.delete, job_id, expired=expired))
        if job is None:
            return None
        if not await self.stop(job_id) and job.owner is not None:
            # Its owner would notice at its next step. This tells it at once, if it can be reached.
            self._background.start(_stop_elsewhere(job_id))
        await asyncio.to_thread(_delete_media, job)
        return job

    async def stop(self, job_id: str) -> bool:
        """Stop driving a job here; returns whether it was driven here."""
        self._watchers.notify(job_id)
        return await self._claims.stop(job_id)

    def __del__(self) -> None:
        """Serve calls this when it stops a replica: other replicas claim its jobs at once."""
        if hasattr(self, "_claims"):
            with suppress(Exception):
                self._claims.release()


def _graph() -> str:
    """The graph that this process belongs to, one for each Ray cluster."""
    address: str = ray.get_runtime_context().gcs_address
    return address


async def _repeat(work: AsyncCall, pause: AsyncCall) -> None:
    while True:
        try:
            await work()
        except Exception:
            # The database may be away for a while.
            log.exception("a round of Jobs' own work failed")
            await asyncio.sleep(FAILURE_PAUSE_S)
        await pause()


async def _stop_elsewhere(job_id: str) -> None:
    try:
        async with asyncio.timeout(BROADCAST_TIMEOUT_S):
            await handle_of("Jobs", FRONT).broadcast("stop", job_id).results_async()
    except Exception as error:  # A replica that has just died drives nothing.
        log.debug("other replicas were not told that %s was deleted: %s", job_id, error)


def _delete_media(job: Job) -> None:
    for uri in job.media():
        delete_media(uri)
