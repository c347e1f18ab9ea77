"""The Jobs deployment: accepts generations, drives those it has claimed, tells whoever asks how any of them goes.

A job belongs to the store, not to the process that accepted it: any replica answers for any job, and takes over what
another one has left in the middle. A synchronous generation is a job that somebody waits for, and expires when nobody
does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import ray
from ray import serve

from deployments.background import Background, in_background, within
from deployments.jobs.admission import IdempotencyMismatch, QueueFull
from deployments.jobs.database.connection import Database
from deployments.jobs.database.store import Store
from deployments.jobs.database.threads import DatabaseThreads
from deployments.jobs.deliveries import Deliveries
from deployments.jobs.driver import Driver
from deployments.jobs.folder_lock import FolderLock
from deployments.jobs.job import EventKind, Job, JobEvent, JobKind, Page
from deployments.jobs.sweep import Sweep
from deployments.jobs.watching import ATTENDED_S, LISTENERS_PERIOD_S, Watchers
from deployments.logs import log
from deployments.settings import FrontSettings
from deployments.wire.handles import FRONT, handle_of
from deployments.wire.media_store import delete_media

Round = Callable[[], Awaitable[object]]

POLL_S = 0.5
# A replica that replaces another one may meet it still alive.
LOCK_PATIENCE_S = 45.0
DELETE_TIMEOUT_S = 10.0
RENEWALS_PER_LEASE = 5
DELIVERY_PERIOD_S = 1.0
# Serve asks for the health of a replica every other second, until it means to stop it.
SILENCE_S = 20.0


class Jobs:
    """Deployment: the only one that opens the database."""

    async def __init__(self, settings: FrontSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        self.settings = settings
        # For a reader of the database or the log; a number for each claim makes the owner of a job.
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._claims = count(1)
        self._lock = None
        if settings.database is None:
            self._lock = await asyncio.to_thread(FolderLock, settings.folder, _graph(), LOCK_PATIENCE_S)
        self._database = await asyncio.to_thread(Database, settings.database_url)
        self.store = Store(self._database)
        self._threads = DatabaseThreads()
        self._bounds = settings.bounds()
        self._sweep = Sweep(self.store, settings, self._delete)
        self._deliveries = Deliveries(self._database, settings.webhooks)
        self._driven: dict[str, Driven] = {}
        # Claims of jobs that are driven here, or about to be.
        self._held: set[str] = set()
        self._released = False
        self._claiming = threading.Lock()
        self._watchers = Watchers(self.store, self._threads)
        self._work = asyncio.Event()
        self._background = Background()
        self._counts = dict.fromkeys(("accepted", "refused", "completed", "failed", "cancelled", "retried"), 0)
        self._renewed_at = self._heard_at = time.monotonic()
        rounds: list[tuple[Round, Round]] = [
            (self._claim_all, self._until_work),
            (self._renew, partial(asyncio.sleep, settings.lease_s / RENEWALS_PER_LEASE)),
            (self._sweep.run, partial(asyncio.sleep, settings.retention.sweep_interval_s)),
            (self._deliveries.run, partial(asyncio.sleep, DELIVERY_PERIOD_S)),
            (self._watchers.find_dead, partial(asyncio.sleep, LISTENERS_PERIOD_S)),
        ]
        self._loops = [in_background(_repeat(work, pause)) for work, pause in rounds]

    async def check_health(self) -> None:
        """Serve asks this at start and ever after.

        Raises:
            RuntimeError: the cluster has grown beyond the machine whose disk keeps the jobs, or a loop has ended.
        """
        self._heard_at = time.monotonic()
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
            DatabaseAway: it may or may not have been kept.
        """
        # Shielded: a caller that gives up in the middle must not leave half of it.
        return await asyncio.shield(self._background.start(self._accept(job)))

    async def _accept(self, job: Job) -> Job:
        lives = None if job.detached else ATTENDED_S
        try:
            stored = await self._threads.asked(self.store.create, job, self._bounds, lives)
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
        return await self._threads.asked(self.store.get, job_id)

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> Page:
        """Some jobs, as `store.Store.page` says."""
        return await self._threads.asked(
            partial(self.store.page, kind, api_key=api_key, after=after, limit=limit, order=order)
        )

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        """How many jobs wait before each of some queued jobs."""
        return await self._threads.asked(self.store.positions, jobs)

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        return await self._threads.asked(self.store.last_event, job_id, kind)

    async def watch(
        self, job_id: str, after: int = 0, attend: bool = False, listener: Any = None
    ) -> AsyncGenerator[JobEvent, None]:
        """A job's events, as `watching.Watchers.watch` says."""
        async with aclosing(self._watchers.watch(job_id, after, attend, listener)) as events:
            async for event in events:
                yield event

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`; what is unfinished is the same in every replica."""
        usage = await self._threads.asked(self.store.usage)
        return {
            **self._counts,
            "driving": len(self._driven),
            "unfinished": usage.jobs,
            "unfinished_gpu_seconds": usage.gpu_seconds,
            **self._sweep.counts,
            **self._deliveries.counts,
        }

    # Ending

    async def delete(self, job_id: str) -> Job | None:
        """Remove a job, stop it where it runs, remove its media, and return what it was; None where there is none."""
        # Shielded: whoever hangs up in the middle has still asked for all of it.
        return await asyncio.shield(self._background.start(self._delete(job_id, False)))

    async def _delete(self, job_id: str, expired: bool) -> Job | None:
        job = await self._threads.asked(partial(self.store.delete, job_id, expired=expired))
        if job is None:
            return None
        if not await self.stop(job_id) and job.owner is not None:
            # Its owner would notice at its next step. This tells it at once, where it can be told.
            self._background.start(_stop_elsewhere(job_id))
        await asyncio.to_thread(_delete_media, job)
        return job

    async def stop(self, job_id: str) -> bool:
        """Stop driving a job here, and say whether it was driven here."""
        tasks = [driven.task for driven in self._driven.values() if driven.job.id == job_id]
        for task in tasks:
            # Once only: a second cancel would interrupt what the first one began.
            if not task.cancelling():
                task.cancel()
        self._watchers.tell(job_id)
        if tasks:
            await asyncio.wait(tasks, timeout=DELETE_TIMEOUT_S)
        return bool(tasks)

    # Driving

    async def _claim_all(self) -> None:
        """Claim what there is, up to the bound of each application and class; beyond it a job of each idle key."""
        if self._released or time.monotonic() - self._heard_at > SILENCE_S:
            # Serve has fallen silent: it means to stop this replica.
            return
        if time.monotonic() - self._renewed_at > self.settings.lease_s / 2:
            # Or this would take over from itself what it is driving.
            await self._renew()
        waiting = await self._threads.leasing(self.store.waiting)
        served = await asyncio.to_thread(_applications) if waiting else set()
        for application, service_class in sorted(waiting):
            # A job of a model that is not served waits until it is again.
            if application in served:
                await self._claim_some(application, service_class)

    async def _claim_some(self, application: str, service_class: str) -> None:
        kind = {"application": application, "service_class": service_class}
        while True:
            running = sum(
                (driven.job.application, driven.job.service_class) == (application, service_class)
                for driven in self._driven.values()
            )
            job = await self._threads.leasing(
                partial(self._claim, only_idle_keys=running >= self.settings.max_running, **kind)
            )
            if job is None:
                return
            self._drive(job)

    def _claim(self, **which: Any) -> Job | None:
        # Whoever releases sees every claim, and none comes after it.
        with self._claiming:
            if self._released:
                return None
            owner = f"{self._name}:{next(self._claims)}"
            job = self.store.claim(owner, self.settings.lease_s, **which)
            if job is not None:
                self._held.add(owner)
            return job

    async def _until_work(self) -> None:
        await within(POLL_S, self._work)
        self._work.clear()

    def _drive(self, job: Job) -> None:
        assert job.owner is not None
        owner = job.owner
        driver = Driver(job, self.store, self.settings, self._watchers.tell, self._counts)
        task = in_background(driver.run())
        self._driven[owner] = Driven(job, task)
        task.add_done_callback(lambda _: self._ended(owner))

    def _ended(self, owner: str) -> None:
        task = self._driven.pop(owner).task
        self._held.discard(owner)
        if task.cancelled():
            self._counts["cancelled"] += 1
        elif (error := task.exception()) is not None:
            # Its lease is not renewed any more, so somebody takes it over.
            log.error("a driver ended: %s", error)
        self._work.set()

    async def _renew(self) -> None:
        """Renew the leases of what is driven here, and stop what is not driven from here any more."""
        owners = list(self._driven)
        kept = await self._threads.leasing(self.store.renew, owners, self.settings.lease_s) if owners else set()
        self._renewed_at = time.monotonic()
        for owner in set(owners) - kept:
            # One that has just ended is not renewed either.
            driven = self._driven.get(owner)
            if driven is not None and not driven.task.cancelling() and await self._lost(driven.job.id, owner):
                driven.task.cancel()

    async def _lost(self, job_id: str, owner: str) -> bool:
        job = await self._threads.leasing(self.store.get, job_id)
        return job is None or (not job.final and job.owner != owner)

    # Around it

    def __del__(self) -> None:
        """Serve calls this when it stops a replica: others need not wait for the leases to lapse."""
        if not hasattr(self, "_claiming"):
            return
        with self._claiming, suppress(Exception):
            self._released = True
            if self._held:
                self.store.release(self._held)


@dataclass(frozen=True)
class Driven:
    """A job that is driven here, and the task that drives it."""

    job: Job
    task: asyncio.Task[None]


def _applications() -> set[str]:
    """The applications that Serve runs."""
    return set(serve.status().applications)


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


async def _stop_elsewhere(job_id: str) -> None:
    try:
        async with asyncio.timeout(DELETE_TIMEOUT_S):
            await handle_of("Jobs", FRONT).broadcast("stop", job_id).results_async()
    except Exception as error:  # A replica that dies just now drives nothing any more.
        log.debug("not told of the end of %s: %s", job_id, error)


def _delete_media(job: Job) -> None:
    for uri in job.media():
        delete_media(uri)
