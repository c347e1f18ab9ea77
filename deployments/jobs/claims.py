"""The jobs that a process drives: claims them, renews their leases, stops them, and gives them up when it is stopped.

A claim makes the process the owner of a job until its lease lapses; each claim is a different owner.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from deployments.background import in_background, wait_at_most
from deployments.jobs.database.store import Store
from deployments.jobs.database.threads import DatabaseThreads
from deployments.jobs.driver import Driver
from deployments.jobs.job import Job
from deployments.logs import log
from deployments.serve_status import serve_status
from deployments.settings.front import FrontSettings

POLL_S = 0.5
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Driven:
    """A job that is driven here, and the task that drives it."""

    job: Job
    task: asyncio.Task[None]


class Claims:
    """The claims of one process.

    Args:
        store: the store of the jobs.
        threads: the threads that call it.
        settings: the settings of the front.
        notify: called with a job's id whenever something of it was recorded.
        counts: the counters of Jobs, which are increased here.

    Attributes:
        driven: the jobs that are driven here, by their owners.
    """

    def __init__(
        self,
        store: Store,
        threads: DatabaseThreads,
        settings: FrontSettings,
        notify: Callable[[str], None],
        counts: dict[str, int],
    ) -> None:
        self.driven: dict[str, Driven] = {}
        self._store = store
        self._threads = threads
        self._settings = settings
        self._notify = notify
        self._counts = counts
        # Readable in the database and the log; with the number of the claim it is a job's owner.
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._numbers = count(1)
        # Owners of all claims of this process, also of those whose job is not driven yet.
        self._owners: set[str] = set()
        self._released = False
        self._lock = threading.Lock()
        self._work = asyncio.Event()
        self._renewed_at = time.monotonic()

    def wake(self) -> None:
        """Look for work at once: there may be some."""
        self._work.set()

    async def until_work(self) -> None:
        """Wait until there may be work."""
        await wait_at_most(POLL_S, self._work)
        self._work.clear()

    async def claim_all(self) -> None:
        """Claim jobs up to `max_running` of each application and class, and beyond it one for each idle API key."""
        if self._released:
            return
        if time.monotonic() - self._renewed_at > self._settings.lease_s / 2:
            # Otherwise this process would claim jobs that it is driving.
            await self.renew()
        waiting = await self._threads.run_lease(self._store.waiting)
        served = await asyncio.to_thread(_applications) if waiting else set()
        for application, service_class in sorted(waiting):
            # A job of a model that is not served waits until it is served again.
            if application in served:
                await self._claim_some(application, service_class)

    async def _claim_some(self, application: str, service_class: str) -> None:
        while True:
            running = sum(
                (driven.job.application, driven.job.service_class) == (application, service_class)
                for driven in self.driven.values()
            )
            claim = partial(
                self._claim,
                application=application,
                service_class=service_class,
                only_idle_keys=running >= self._settings.max_running,
            )
            job = await self._threads.run_lease(claim)
            if job is None:
                return
            self._drive(job)

    def _claim(self, **which: Any) -> Job | None:
        # Under the lock, so that `release` gives up every claim and none is made after it.
        with self._lock:
            if self._released:
                return None
            owner = f"{self._name}:{next(self._numbers)}"
            job = self._store.claim(owner, self._settings.lease_s, **which)
            if job is not None:
                self._owners.add(owner)
            return job

    def _drive(self, job: Job) -> None:
        assert job.owner is not None
        owner = job.owner
        driver = Driver(job, self._store, self._settings, self._notify, self._counts)
        task = in_background(driver.run())
        self.driven[owner] = Driven(job, task)
        task.add_done_callback(lambda _: self._ended(owner))

    def _ended(self, owner: str) -> None:
        task = self.driven.pop(owner).task
        self._owners.discard(owner)
        if task.cancelled():
            self._counts["cancelled"] += 1
        elif (error := task.exception()) is not None:
            # Its lease is not renewed any more, so that a replica claims the job again.
            log.error("a driver ended: %s", error)
        self._work.set()

    async def renew(self) -> None:
        """Renew the leases of the jobs that are driven here; stop driving those that are gone or have another owner."""
        owners = list(self.driven)
        kept = await self._threads.run_lease(self._store.renew, owners, self._settings.lease_s) if owners else set()
        self._renewed_at = time.monotonic()
        for owner in set(owners) - kept:
            # The lease of a job that has just ended is not renewed either; its driver must finish.
            driven = self.driven.get(owner)
            if driven is not None and not driven.task.cancelling() and await self._lost(driven.job.id, owner):
                driven.task.cancel()

    async def _lost(self, job_id: str, owner: str) -> bool:
        job = await self._threads.run_lease(self._store.get, job_id)
        return job is None or (not job.final and job.owner != owner)

    async def stop(self, job_id: str) -> bool:
        """Stop driving a job here; returns whether it was driven here."""
        tasks = [driven.task for driven in self.driven.values() if driven.job.id == job_id]
        for task in tasks:
            # Once only: a second cancel would interrupt the clean-up that follows the first.
            if not task.cancelling():
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
        return bool(tasks)

    def release(self) -> None:
        """Give up all claims and make no more, so that other replicas need not wait for the leases to lapse."""
        with self._lock:
            self._released = True
            if self._owners:
                self._store.release(self._owners)


def _applications() -> set[str]:
    """The applications that Serve runs."""
    return set(serve_status())
