"""What the ingress asks of Jobs. A replica of it that dies in the middle is asked again, as another one or anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Literal

from ray.exceptions import RayActorError

from deployments.background import in_background
from deployments.ingress.errors import ApiError, as_api_error
from deployments.job import EventKind, Job, JobEvent, JobKind
from deployments.logs import log
from deployments.media_store import delete_media
from deployments.stages import answer_of, items_of
from deployments.store import Page

# A replica of Jobs is replaced within it.
PATIENCE_S = 45.0
PAUSE_S = 0.5


class JobService:
    """The Jobs deployment behind its handle; every call may be repeated without harm.

    Methods raise ApiError: 429 where the queue is full, 503 where Jobs does not come back.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._background: set[asyncio.Task[Any]] = set()

    async def submit(self, job: Job) -> Job:
        """Keep a job; a client that does not wait to hear its id has no job.

        Returns:
            The job as it is kept, which may be an earlier one with the same idempotency key.
        """
        accepting = self._in_background(self._asked("submit", job))
        try:
            stored: Job = await asyncio.shield(accepting)
        except asyncio.CancelledError:
            self._in_background(self._discard(job, accepting))
            raise
        except ApiError:
            self._in_background(self._discard(job))
            raise
        return stored

    async def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        job: Job | None = await self._asked("get", job_id)
        return job

    async def position(self, job: Job) -> int:
        """How many jobs wait before a queued one."""
        position: int = await self._asked("position", job)
        return position

    async def page(
        self, kind: JobKind, api_key: str, after: str | None, limit: int | None, order: Literal["asc", "desc"]
    ) -> Page:
        """Some jobs, as `store.Store.page` says."""
        page: Page = await self._asked("page", kind, api_key, after, limit, order)
        return page

    async def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        event: JobEvent | None = await self._asked("last_event", job_id, kind)
        return event

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncGenerator[JobEvent, None]:
        """A job's events, as `deployments.jobs.Jobs.watch` says, whichever replica tells them."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            stream = self._handle.options(stream=True).watch.remote(job_id, after, attend)
            try:
                async with aclosing(items_of(stream)) as events:
                    async for event in events:
                        deadline = time.monotonic() + PATIENCE_S
                        after = max(after, event.number)
                        yield event
                return
            except Exception as error:
                await self._pause_or_raise(error, deadline)

    async def delete(self, job_id: str) -> Job | None:
        """Stop and remove a job; returns what it was."""
        job: Job | None = await self._asked("delete", job_id)
        return job

    def let_go(self, job: Job) -> None:
        """Nobody waits for a job any more: remove it, without waiting for that, also from a cancelled request.

        One with an idempotency key stays for a while, for the client may ask again.
        """
        if job.idempotency_key is None:
            self._in_background(self._discard(job))

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
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await answer_of(getattr(self._handle, method).remote(*arguments))
            except Exception as error:
                await self._pause_or_raise(error, deadline)

    @staticmethod
    async def _pause_or_raise(error: Exception, deadline: float) -> None:
        if not isinstance(error, RayActorError) or time.monotonic() > deadline:
            raise as_api_error(error) from error
        log.info("a replica of Jobs died; asking again")
        await asyncio.sleep(PAUSE_S)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = in_background(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
