"""The Jobs deployment: accepts generations, drives each in a task of its own, tells whoever asks how it goes.

A job belongs to the store: whoever waits for it may hang up and come back. A synchronous generation is a job that
somebody waits for, and ends when nobody does.
"""

from __future__ import annotations

import asyncio
import base64
import time
import traceback
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import ray
from filelock import FileLock, Timeout

from cosmos3_core.errors import CosmosError, RequestError
from cosmos3_core.request import Event, Finished, Started, Step
from deployments.background import in_background
from deployments.calls import GenerationCall, Preview
from deployments.flow import GenerationOutcome, Output, generate, is_repeatable
from deployments.logs import log, logs_for
from deployments.media_store import delete_media
from deployments.redaction import without_paths
from deployments.scheduler import ServiceClass
from deployments.settings import FrontSettings
from deployments.stages import Stages
from deployments.store import EventKind, Job, JobEvent, Store

RETRY_DELAY_S = 1.0
POLL_S = 1.0
DELETE_TIMEOUT_S = 10.0
# How long a synchronous result waits to be fetched, should the ingress die that was to do it.
FETCH_S = 120.0
# A replica that replaces another one may meet it still alive.
CLAIM_TIMEOUT_S = 45.0


def _claim(settings: FrontSettings) -> FileLock:
    """Keep other graphs away from this one's folder; the operating system frees it, however this process ends.

    Raises:
        RuntimeError: another graph holds it.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.folder / "jobs.lock", timeout=CLAIM_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise RuntimeError(f"{settings.folder} belongs to another graph; give this one its own `data`") from error
    return lock


class QueueFull(Exception):
    """More jobs wait than the operator allows."""


class Jobs:
    """Deployment: the only one that opens the database."""

    async def __init__(self, settings: FrontSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        self.settings = settings
        self._lock = await asyncio.to_thread(_claim, settings) if settings.database is None else None
        self.store = await asyncio.to_thread(Store, settings.database_url)
        # One for each class: an image that somebody waits for does not queue behind videos that nobody does.
        self._running = {kind: asyncio.Semaphore(settings.max_running) for kind in ServiceClass}
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._counts = dict.fromkeys(("accepted", "refused", "completed", "failed", "cancelled", "retried"), 0)
        for job in await asyncio.to_thread(self.store.unfinished):
            # Those that somebody waited for have lost the request that did.
            if job.detached:
                self._drive(job)
            else:
                await self._remove(job)

    async def check_health(self) -> None:
        """Serve asks this at start and ever after.

        Raises:
            RuntimeError: the cluster has grown beyond the machine whose disk keeps the jobs.
        """
        alive = sum(node["Alive"] for node in await asyncio.to_thread(ray.nodes))
        if alive > 1 and self.settings.local_places and not self.settings.single_host:
            places = " and ".join(self.settings.local_places)
            raise RuntimeError(
                f"{places} on one machine's disk, and the cluster has {alive} nodes: name a shared database and object "
                "store, or write single_host: true where all nodes are this machine"
            )

    async def submit(self, job: Job) -> Job:
        """Keep a job and start driving it; once this returns, it is not lost.

        Raises:
            QueueFull: too many wait already.
        """
        # Shielded: a caller that gives up in the middle must not leave a row without a driver.
        return await asyncio.shield(self._in_background(self._accept(job)))

    async def _accept(self, job: Job) -> Job:
        if len(self._drivers) >= self.settings.max_running + self.settings.max_queued:
            self._counts["refused"] += 1
            await asyncio.to_thread(self._delete_media, job, True)
            raise QueueFull(f"{len(self._drivers)} generations are running or waiting")
        stored = await asyncio.to_thread(self.store.create, job)
        self._counts["accepted"] += 1
        self._drive(stored)
        return stored

    async def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        return await asyncio.to_thread(self.store.get, job_id)

    async def run(self, job: Job) -> AsyncGenerator[Job | JobEvent, None]:
        """Submit a job that lives as long as this stream is read: the job, then its events. Closing cancels it.

        Raises:
            QueueFull: too many wait already.
        """
        accepting, completed = self._in_background(self._accept(job)), False
        try:
            yield await asyncio.shield(accepting)
            async for event in self.watch(job.id):
                completed = event.kind == "done"
                yield event
        finally:
            self._in_background(self._forget(job.id, accepting, FETCH_S if completed else 0))

    async def _forget(self, job_id: str, accepting: asyncio.Task[Job], delay: float) -> None:
        """Remove a job that one request waited for. Whoever gets the result removes it sooner than `delay` says."""
        with suppress(Exception):
            await accepting
        await asyncio.sleep(delay)
        await self.delete(job_id)

    async def watch(self, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """A job's events from the first one after `after` to its last; ends at once where there is no such job."""
        news = asyncio.Event()
        self._listeners[job_id].add(news)
        try:
            while True:
                news.clear()
                # Before the events: what ends a job and the event that tells of it come together.
                job = await self.get(job_id)
                found = await asyncio.to_thread(self.store.events, job_id, after)
                for event in found:
                    after = event.number
                    yield event
                    if event.last:
                        return
                if not found:
                    if job is None or job.final:
                        return
                    # `asyncio.wait_for` loses a cancel that comes with the news (Python 3.11).
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await news.wait()
        finally:
            self._listeners[job_id].discard(news)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    async def last_event(self, job_id: str) -> int:
        """Number of a job's last event, 0 where there is none."""
        return await asyncio.to_thread(self.store.last_event, job_id)

    async def delete(self, job_id: str) -> Job | None:
        """Stop a job where it runs, remove it and its media, and return what it was; None where there is none."""
        job = await self.get(job_id)
        if job is None:
            return None
        driver = self._cancel(job_id)
        if driver is not None:
            await asyncio.wait([driver], timeout=DELETE_TIMEOUT_S)
        await self._remove(job)
        return job

    async def _remove(self, job: Job) -> None:
        await asyncio.to_thread(self._delete_media, job, True)
        await asyncio.to_thread(self.store.delete, job.id)
        self._tell(job.id)

    @staticmethod
    def _delete_media(job: Job, with_result: bool) -> None:
        for uri in job.media() if with_result else job.working_media():
            delete_media(uri)

    def _cancel(self, job_id: str) -> asyncio.Task[None] | None:
        driver = self._drivers.get(job_id)
        # Once only: a second cancel would interrupt the recording of the first.
        if driver is not None and not driver.cancelling():
            driver.cancel()
        return driver

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = in_background(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _drive(self, job: Job) -> None:
        driver = self._in_background(self._run(job))
        self._drivers[job.id] = driver
        driver.add_done_callback(lambda _: self._drivers.pop(job.id, None))

    async def _run(self, job: Job) -> None:
        with logs_for(job.id):
            try:
                async with self._running[job.service_class]:
                    await self._generate(job)
            except asyncio.CancelledError:
                log.info("cancelled")
                self._counts["cancelled"] += 1
                await self._end(job, "cancelled", {}, status="failed", error={"code": 499, "message": "cancelled"})
            except RequestError as error:
                await self._fail(job, 400, _reason(error))
            except Exception as error:
                log.error("failed: %s", "".join(traceback.format_exception(error)))
                await self._fail(job, 500, _reason(error))
            finally:
                await asyncio.to_thread(self._delete_media, job, False)

    async def _generate(self, job: Job) -> None:
        """Run the flow; again from the start where a process died under it, up to the bound on tries."""
        call = GenerationCall(job.id, job.request["fields"], job.request["media"])
        output = Output(**job.request["output"])
        stages = Stages.of(job.application, job.decoder)
        for attempt in range(job.tries + 1, self.settings.max_tries + 1):
            await self._record(
                job, "started", {"try": attempt}, status="in_progress", started_at=time.time(), tries=attempt
            )
            try:
                outcome = await generate(
                    *(stages, call, output, lambda event: self._report(job, event)),
                    service_class=job.service_class,
                    snapshot=job.snapshot,
                    resume=attempt > 1,
                )
            except Exception as error:
                if not is_repeatable(error) or attempt == self.settings.max_tries:
                    raise
                self._counts["retried"] += 1
                log.warning("try %d of %d ended: %s", attempt, self.settings.max_tries, _reason(error))
                await asyncio.sleep(RETRY_DELAY_S)
            else:
                await self._complete(job, outcome)
                return
        await self._fail(job, 500, f"gave up after {job.tries} tries: processes died under it")

    async def _report(self, job: Job, event: Event | Preview) -> None:
        if isinstance(event, Preview):
            await self._record(job, "preview", {"step": event.step, "jpeg": base64.b64encode(event.jpeg).decode()})
        elif isinstance(event, Step):
            await self._record(job, "step", asdict(event), progress=min(99, 100 * event.index // event.count))
        elif isinstance(event, Started):
            await self._record(job, "stage", {"stage": event.stage, "state": "started"})
        elif isinstance(event, Finished):
            await self._record(job, "stage", {"stage": event.stage, "state": "finished", "seconds": event.seconds})

    async def _complete(self, job: Job, outcome: GenerationOutcome) -> None:
        self._counts["completed"] += 1
        result = _result(outcome)
        shown = {"seconds": sum(outcome.timings.seconds.values())}
        await self._end(job, "done", shown, status="completed", progress=100, result=result)

    async def _fail(self, job: Job, code: int, message: str) -> None:
        self._counts["failed"] += 1
        error = {"code": code, "message": without_paths(message)}
        await self._end(job, "failed", {"error": error}, status="failed", error=error)

    async def _end(self, job: Job, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        await self._record(job, kind, data, completed_at=time.time(), **changes)

    async def _record(self, job: Job, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        await asyncio.to_thread(lambda: self.store.record(job.id, kind, data, **changes))
        self._tell(job.id)

    def _tell(self, job_id: str) -> None:
        for news in self._listeners.get(job_id, ()):
            news.set()

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        return {**self._counts, "unfinished": len(self._drivers)}


def _result(outcome: GenerationOutcome) -> dict[str, Any]:
    clip, file = outcome.encoded.clip, outcome.file
    return {
        "uri": file.uri,
        "bytes": file.nbytes,
        "width": clip.width,
        "height": clip.height,
        "num_frames": file.num_frames,
        "fps": clip.fps,
        "steps": outcome.latents.steps,
        "seed": outcome.encoded.seed,
        "action": file.action,
        "latents_sha256": outcome.latents.sha256,
        "stage_seconds": outcome.timings.seconds,
        "handed_over_bytes": outcome.timings.handed_over,
        "peak_memory_bytes": outcome.latents.peak_memory_bytes,
    }


def _reason(error: BaseException) -> str:
    """What went wrong, without the tracebacks of other processes that Ray wraps around it."""
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause
    if isinstance(error, CosmosError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
