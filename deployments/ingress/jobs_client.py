"""The ingress's client of the Jobs deployment. A call that fails because a replica of Jobs died is made again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from ray.exceptions import RayActorError

from deployments.background import Background
from deployments.ingress.errors import RETRY_AFTER, ApiError, as_api_error, unwrapped
from deployments.jobs.job import DatabaseAway, EventKind, Job, JobEvent, JobKind, Page
from deployments.logs import log
from deployments.wire.callers import this_actor
from deployments.wire.handles import answer_of, items_of
from deployments.wire.media_store import delete_media

# Serve replaces a replica of Jobs within this time.
RETRY_FOR_S = 45.0
RETRY_PAUSE_S = 0.5
LONG_CALL_S = 5.0


class JobsClient:
    """The Jobs deployment behind its handle. Every method is idempotent, so that it can be retried.

    Methods raise ApiError: 429 if the queue is full, 503 if Jobs does not come back.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._background = Background()

    async def submit(self, job: Job) -> Job:
        """Store a job. If the client hangs up before it learns the job's id, the job is removed again.

        Returns:
            The stored job, which may be an earlier one with the same idempotency key.
        """
        submitting = self._background.start(self._call("submit", job))
        try:
            stored: Job = await asyncio.shield(submitting)
        except (asyncio.CancelledError, JobsUnavailable):
            # A client with an idempotency key may send its request again, and then gets this job.
            if job.idempotency_key is None:
                self._background.start(self._remove(job, submitting))
            raise
        return stored

    async def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        job: Job | None = await self._call("get", job_id)
        return job

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        """For each queued job among these, the number of jobs that wait before it."""
        queued = [job for job in jobs if job.status == "queued"]
        positions: dict[str, int] = await self._call("positions", queued) if queued else {}
        return positions

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> Page:
        """A page of jobs, as `store.Store.page` describes it."""
        page: Page = await self._call("page", kind, api_key, after, limit, order)
        return page

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        event: JobEvent | None = await self._call("last_event", job_id, kind)
        return event

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncGenerator[JobEvent, None]:
        """A job's events, as `deployments.jobs.deployment.Jobs.watch` describes them, across replicas of Jobs."""
        retries = RetryWindow()
        while True:
            stream = self._handle.options(stream=True).watch.remote(job_id, after, attend, this_actor())
            try:
                async with aclosing(items_of(stream)) as events:
                    async for event in events:
                        retries.reset()
                        after = max(after, event.number)
                        yield event
                return
            except Exception as error:
                await retries.pause_or_raise(error)

    async def delete(self, job_id: str) -> Job | None:
        """Stop and remove a job; returns the removed job."""
        job: Job | None = await self._call("delete", job_id)
        return job

    def discard(self, job: Job) -> None:
        """Remove a job that nobody waits for any more. It runs in the background, also from a cancelled request.

        A job with an idempotency key is kept for a while, because the client may send its request again.
        """
        if job.idempotency_key is None:
            self._background.start(self._remove(job))

    async def _remove(self, job: Job, submitting: asyncio.Task[Job] | None = None) -> None:
        try:
            if submitting is not None:
                await asyncio.wait([submitting])
            if await self.delete(job.id) is None:
                # Jobs never received it, or has removed it already.
                for uri in job.media():
                    await asyncio.to_thread(delete_media, uri)
        except Exception as error:
            log.warning("%s was not removed: %s", job.id, error)

    async def _call(self, method: str, *arguments: Any) -> Any:
        retries = RetryWindow()
        while True:
            try:
                return await answer_of(getattr(self._handle, method).remote(*arguments))
            except Exception as error:
                await retries.pause_or_raise(error)


class JobsUnavailable(ApiError):
    """Jobs does not come back; whether it did what it was asked is unknown."""


class RetryWindow:
    """How long a call is retried, counted from the first of several failures in a row."""

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._called_at = time.monotonic()

    def reset(self) -> None:
        """Note that an answer has come."""
        self._failing_since = None

    async def pause_or_raise(self, error: Exception) -> None:
        """Wait a little after a failure that may pass.

        Raises:
            ApiError: the failure is permanent, or has lasted too long.
        """
        cause = unwrapped(error)
        if not isinstance(cause, (RayActorError, DatabaseAway)):
            raise as_api_error(error) from error
        now = time.monotonic()
        if self._failing_since is None or now - self._called_at > LONG_CALL_S:
            # A call that stayed open for a while worked until just now.
            self._failing_since = now
        if now - self._failing_since > RETRY_FOR_S:
            message = "a stage of the graph is not available; try again"
            raise JobsUnavailable(503, message, headers=RETRY_AFTER) from error
        log.info("Jobs did not answer; retrying: %s", type(cause).__name__)
        await asyncio.sleep(RETRY_PAUSE_S)
        self._called_at = time.monotonic()
