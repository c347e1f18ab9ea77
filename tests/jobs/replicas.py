"""Replicas of the Jobs deployment within a test's process, over a flow that the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cosmos3_core.request import Step
from deployments.jobs import driver
from deployments.jobs.deployment import Jobs
from deployments.jobs.job import Job, JobEvent
from deployments.settings.front import FrontSettings
from deployments.wire.handles import StageHandles
from deployments.wire.media_store import MediaStore


@asynccontextmanager
async def started(folder: Path, **settings: Any) -> AsyncIterator[Jobs]:
    replica = Jobs.__new__(Jobs)
    await Jobs.__init__(replica, FrontSettings(data=folder, **settings))
    try:
        yield replica
    finally:
        await kill(replica)


async def kill(replica: Jobs) -> None:
    """Stop a replica as if its process had died: its leases stay."""
    tasks = [*replica._loops, *(driven.task for driven in replica._claims.driven.values())]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    replica._loops.clear()
    replica._database.close()
    if replica._lock is not None:
        replica._lock.release()


def a_job(folder: Path, name: str, service_class: str = "standard", **given: Any) -> Job:
    media = MediaStore(f"file://{folder / 'media'}")
    image = media.put(f"inputs/{name}.image", b"pixels")
    output = {"target": media.uri(f"outputs/{name}.mp4"), "format": "mp4"}
    request = {"fields": {}, "media": {"image": image}, "output": output}
    return Job(name, "video", "m", "nano", "decoder", True, request, {}, service_class=service_class, **given)


def use_flow(monkeypatch: pytest.MonkeyPatch, generate: Callable[..., Coroutine[Any, Any, Any]]) -> None:
    """Make drivers run this instead of the stages."""
    monkeypatch.setattr(driver, "generate", generate)
    monkeypatch.setattr(StageHandles, "of", lambda *_: None)


def stepping(turn: asyncio.Event, runs: list[Any]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A flow that makes the first of two steps when `turn` is set, and no more; `runs` gets an item for each run."""

    async def generate(*, report: Any, **_: Any) -> None:
        runs.append(report)
        await turn.wait()
        await report(Step(1, 2, 0.1, 0.1))
        await asyncio.Event().wait()

    return generate


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


async def first(replica: Jobs, job_id: str, kind: str, **options: Any) -> JobEvent:
    async for event in replica.watch(job_id, **options):
        if event.kind == kind:
            return event
    raise AssertionError(f"no {kind} of {job_id}")


class FailingStore:
    """A replica's store whose methods fail as if the database were away, until `available` is set."""

    def __init__(self, replica: Jobs, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.available = False
        for name in names:
            monkeypatch.setattr(replica.store, name, self._failing(getattr(replica.store, name)))

    def _failing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.available:
                return method(*arguments, **named)
            raise OperationalError("select", {}, Exception("away"))

        return call
