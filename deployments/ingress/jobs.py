"""What the ingress asks of Jobs. A replica of it that dies in the middle is asked again, as another one or anew."""

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

# A replica of Jobs is replaced within it.
PATIENCE_S = 45.0
PAUSE_S = 0.5
LONG_S = 5.0


class JobService:
    """The Jobs deployment behind its handle. Each of its methods does the same when it is called again.

    Methods raise ApiError: 429 where the queue is full, 503 where Jobs does not come back.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._background = Background()

    async def submit(self, job: Job) -> Job:
        """Keep a job; a client that does not wait to hear its id has no job.

        Returns:
            The job as it is kept, which may be an earlier one with the same idempotency key.
        """
        accepting = self._background.start(self._asked("submit", job))
        try:
            stored: Job = await asyncio.shield(accepting)
        except (asyncio.CancelledError, Unanswered):
            # With an idempotency key the client may be about to ask again, and gets this job then.
            if job.idempotency_key is None:
                self._background.start(self._discard(job, accepting))
            raise
        return stored

    async def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        job: Job | None = await self._asked("get", job_id)
        return job

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        """How many jobs wait before each of some queued jobs."""
        queued = [job for job in jobs if job.status == "queued"]
        positions: dict[str, int] = await self._asked("positions", queued) if queued else {}
        return positions

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> Page:
        """Some jobs, as `store.Store.page` says."""
        page: Page = await self._asked("page", kind, api_key, after, limit, order)
        return page

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        event: JobEvent | None = await self._asked("last_event", job_id, kind)
        return event

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncGenerator[JobEvent, None]:
        """A job's events, as `deployments.jobs.deployment.Jobs.watch` says, whichever replica tells them."""
        patience = Patience()
        while True:
            stream = self._handle.options(stream=True).watch.remote(job_id, after, attend, this_actor())
            try:
                async with aclosing(items_of(stream)) as events:
                    async for event in events:
                        patience.renew()
                        after = max(after, event.number)
                        yield event
                return
            except Exception as error:
                await patience.pause_or_raise(error)

    async def delete(self, job_id: str) -> Job | None:
        """Stop and remove a job; returns what it was."""
        job: Job | None = await self._asked("delete", job_id)
        return job

    def let_go(self, job: Job) -> None:
        """Nobody waits for a job any more: remove it, without waiting for that, also from a cancelled request.

        One with an idempotency key stays for a while, for the client may ask again.
        """
        if job.idempotency_key is None:
            self._background.start(self._discard(job))

    async def _discard(self, job: Job, accepting: asyncio.Task[Job] | None = None) -> None:
        try:
            if accepting is not None:
                await asyncio.wait([accepting])
            if await self.delete(job.id) is None:
                # Jobs never heard of it, or has forgotten it already.
                for uri in job.media():
                    await asyncio.to_thread(delete_media, uri)
        except Exception as error:
            log.warning("%s was not removed: %s", job.id, error)

    async def _asked(self, method: str, *arguments: Any) -> Any:
        patience = Patience()
        while True:
            try:
                return await answer_of(getattr(self._handle, method).remote(*arguments))
            except Exception as error:
                await patience.pause_or_raise(error)


class Unanswered(ApiError):
    """Jobs does not come back; what it was asked for may have been done."""


class Patience:
    """How long to go on asking: from the first failure in a row."""

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._asked_at = time.monotonic()

    def renew(self) -> None:
        """Something was answered."""
        self._failing_since = None

    async def pause_or_raise(self, error: Exception) -> None:
        """Wait a little after a failure that may pass.

        Raises:
            ApiError: it will not, or has not for too long.
        """
        cause = unwrapped(error)
        if not isinstance(cause, (RayActorError, DatabaseAway)):
            raise as_api_error(error) from error
        now = time.monotonic()
        if self._failing_since is None or now - self._asked_at > LONG_S:
            # A call that was open for a while was well until just now.
            self._failing_since = now
        if now - self._failing_since > PATIENCE_S:
            raise Unanswered(503, "a stage of the graph is not available; try again", headers=RETRY_AFTER) from error
        log.info("Jobs did not answer, and is asked again: %s", type(cause).__name__)
        await asyncio.sleep(PAUSE_S)
        self._asked_at = time.monotonic()
