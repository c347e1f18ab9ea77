"""Work that a client waits for: its result, a client that hangs up, the operator's limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from deployments.ingress.errors import ApiError
from deployments.ingress.waiting import while_connected


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
