"""Work that a client waits for: its result, a client that hangs up, the operator's limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request

from deployments.ingress.errors import ApiError
from deployments.ingress.waiting import run_jobs, while_connected
from deployments.jobs.job import Job, JobEvent
from tests.ingress.stubs import StubGraph


class Work:
    """Work that takes a while and records whether it was cancelled."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.cancelled = False

    async def run(self) -> str:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"


def request(hangs_up_after: float) -> Request:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(hangs_up_after)
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def wait(work: Work, hangs_up_after: float = 60, limit: float | None = None) -> str:
    return asyncio.run(while_connected(request(hangs_up_after), work.run(), limit))


def test_the_result() -> None:
    work = Work(0)
    assert wait(work) == "done" and not work.cancelled


def test_a_client_that_hangs_up_stops_the_work() -> None:
    work = Work(60)
    with pytest.raises(ApiError) as refused:
        wait(work, hangs_up_after=0)
    assert refused.value.status == 499 and work.cancelled


def test_the_limit_stops_the_work_and_tells_the_client_not_to_retry() -> None:
    work = Work(60)
    with pytest.raises(ApiError, match=r"within 0\.05 s; POST /v1/videos") as refused:
        wait(work, limit=0.05)
    assert refused.value.status == 504 and work.cancelled
    assert refused.value.headers["x-should-retry"] == "false"


def test_failures_are_raised() -> None:
    async def fail() -> None:
        raise ApiError(400, "no", param="size")

    with pytest.raises(ApiError, match="no"):
        asyncio.run(while_connected(request(60), fail()))


@dataclass
class FailingJobs:
    """Jobs that fail as soon as they are submitted."""

    error: dict[str, Any]
    discarded: list[str] = field(default_factory=list)

    async def submit(self, job: Job) -> Job:
        return job

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncIterator[JobEvent]:
        yield JobEvent(1, "failed", {"error": self.error}, 0.0)

    def discard(self, job: Job) -> None:
        self.discarded.append(job.id)


@pytest.mark.parametrize(
    ("code", "headers"),
    [(503, {"Retry-After": "5"}), (502, {"x-should-retry": "false"}), (500, {"x-should-retry": "false"})],
)
def test_a_job_that_failed_says_whether_to_ask_again(code: int, headers: dict[str, str]) -> None:
    """503 is a Reasoner that is busy: the same request may succeed a little later."""
    jobs = FailingJobs({"code": code, "message": "no prompt"})
    stub = StubGraph(jobs=jobs)
    job = Job("video_gen_1", "video", "m", "app", "decoder", False, {}, {})
    with pytest.raises(ApiError, match="no prompt") as failed:
        asyncio.run(run_jobs(stub.as_graph(), request(60), [job]))
    assert (failed.value.status, failed.value.headers) == (code, headers)
    assert jobs.discarded == ["video_gen_1"]
