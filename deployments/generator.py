"""The Generator stage: the leader of a gang of ranks, and the loop that decides before every step what runs next.

Handlers only enqueue, listen and cancel. One background loop talks to the ranks, one step at a time, so a cancel takes
effect before the next step and the order of steps is decided in one place.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import ray

from cosmos3_core.request import Step
from deployments.gang import Gang
from deployments.handoff import EncodedMessage, LatentsMessage
from deployments.logs import log, logs_for
from deployments.settings import ModelSettings

PING_TIMEOUT_S = 5.0
MAX_MISSED_PINGS = 3
Update = Step | LatentsMessage | BaseException


@dataclass
class Task:
    """A request on this gang.

    Attributes:
        id: of the job.
        message: what the Encoder sent.
        updates: what its listener will read.
        resident: whether the ranks hold it.
        cancelled: nobody listens any more; it makes no further step.
        steps_after_cancel: steps that ended after the leader had heard of the cancel; at most the one under way.
    """

    id: str
    message: EncodedMessage
    updates: asyncio.Queue[Update] = field(default_factory=asyncio.Queue)
    resident: bool = False
    cancelled: bool = False
    steps_after_cancel: int = 0


class Generator:
    """Deployment: the leader. It holds no weights."""

    def __init__(self, settings: ModelSettings) -> None:
        assert settings.generator is not None
        self.deadline = settings.generator.step_deadline_s
        self.gang = Gang.start(settings)
        self._queue: deque[Task] = deque()
        self._work = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._call_started: float | None = None
        self._counts = dict.fromkeys(("tasks", "completed", "cancelled", "failed", "steps_after_cancel_max"), 0)
        self._warm = False
        self._missed_pings = 0

    async def check_health(self) -> None:
        """Serve asks this before the replica is ready and ever after.

        A gang that cannot go on ends itself: Serve would stop an unhealthy replica gracefully, and wait for streams
        that will never end.

        Raises:
            RuntimeError: a rank does not answer in time.
        """
        if not self._warm:
            await self.gang.warm_up()
            self._warm = True
        started = self._call_started
        if started is not None and time.monotonic() - started > self.deadline:
            self._end(f"a step runs for more than {self.deadline:g} s")
        if self._loop is not None and self._loop.done():
            self._end("the step loop has ended")
        try:
            await asyncio.wait_for(self.gang.ping(), PING_TIMEOUT_S)
        except ray.exceptions.RayActorError:
            self._end("a rank is dead")
        except TimeoutError as error:
            self._missed_pings += 1
            if self._missed_pings >= MAX_MISSED_PINGS:
                self._end(f"a rank did not answer {MAX_MISSED_PINGS} times")
            raise RuntimeError(f"a rank did not answer within {PING_TIMEOUT_S:g} s") from error
        self._missed_pings = 0

    async def denoise(self, job_id: str, message: EncodedMessage) -> AsyncIterator[Step | LatentsMessage]:
        """Denoise a request: a stream of steps, and the latents at its end. Closing the stream cancels.

        Raises:
            HandoffLost: what the Encoder sent is gone.
        """
        if self._loop is None:
            # A context of its own: a task made inside a request would be cancelled with that request.
            self._loop = asyncio.create_task(self._run(), context=contextvars.Context())
        task = Task(job_id, message)
        self._counts["tasks"] += 1
        self._queue.append(task)
        self._work.set()
        try:
            while True:
                update = await task.updates.get()
                if isinstance(update, BaseException):
                    raise update
                yield update
                if isinstance(update, LatentsMessage):
                    return
        finally:
            task.cancelled = True
            self._work.set()

    async def _run(self) -> None:
        """The step loop: the first task in the queue takes the next step."""
        while True:
            if not self._queue:
                self._work.clear()
                await self._work.wait()
                continue
            task = self._queue[0]
            with logs_for(task.id):
                try:
                    over = await self._advance(task)
                except ray.exceptions.RayActorError:
                    self._end("a rank died under a task")
                except Exception as error:
                    log.exception("failed")
                    self._counts["failed"] += 1
                    task.updates.put_nowait(error)
                    over = True
                    await self.gang.drop(task.id)
            if over:
                self._queue.remove(task)

    async def _advance(self, task: Task) -> bool:
        """One move of a task: drop it, make it resident, or step. Returns whether it is over."""
        if task.cancelled:
            self._counts["cancelled"] += 1
            log.info("cancelled")
            if task.resident:
                await self.gang.drop(task.id)
            return True
        self._call_started = time.monotonic()
        try:
            if not task.resident:
                fetched = await self.gang.begin(task.id, task.message)
                task.resident = True
                log.info("resident: fetched %d of %d bytes", fetched, task.message.nbytes)
                return False
            step = await self.gang.step(task.id)
        finally:
            self._call_started = None
        self._count_if_cancelled(task)
        task.updates.put_nowait(step)
        if step.index < step.count:
            return False
        task.updates.put_nowait(await self.gang.finish(task.id))
        self._counts["completed"] += 1
        return True

    def _count_if_cancelled(self, task: Task) -> None:
        """Count a step that ended after its task was cancelled: it was under way, and no other follows."""
        if task.cancelled:
            task.steps_after_cancel += 1
            most = max(self._counts["steps_after_cancel_max"], task.steps_after_cancel)
            self._counts["steps_after_cancel_max"] = most

    def _end(self, reason: str) -> None:
        """A gang without one of its ranks is no gang: end this process, so that Serve replaces all of it at once."""
        log.error("%s: the gang ends and is replaced", reason)
        self.gang.kill()
        os._exit(1)

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        ranks = await self.gang.stats()
        return {**ranks, **self._counts, "queued_tasks": len(self._queue), "world_size": len(self.gang.ranks)}
