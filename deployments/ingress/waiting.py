"""Work that a client waits for. It is cancelled if the client hangs up or the time limit passes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request

from deployments.ingress.errors import NO_RETRY, RETRY_AFTER, ApiError, hung_up
from deployments.ingress.graph import Graph
from deployments.jobs.job import Job

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
    """The result of some work, which is cancelled if the client hangs up or after `limit` seconds.

    Raises:
        ApiError: 504 after the limit, 499 if the client hung up.
    """
    task, left = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    tasks: set[asyncio.Task[Any]] = {task, left}
    try:
        await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if left.done():
            raise hung_up()
        message = f"not finished within {limit:g} s; POST /v1/videos makes a job that can be polled"
        raise ApiError(504, message, headers=NO_RETRY)
    finally:
        left.cancel()
        task.cancel()
        await asyncio.wait(tasks, timeout=1)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def run_jobs(graph: Graph, request: Request, jobs: list[Job]) -> list[Job]:
    """Run jobs concurrently and return them completed; if one fails, the others are removed.

    Raises:
        ApiError: 504 after the operator's limit, 499 if the client hung up, or the failure of a job.
    """
    return await while_connected(request, _run_all(graph, jobs), graph.settings.sync_timeout_s)


async def _run_all(graph: Graph, jobs: list[Job]) -> list[Job]:
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_run(graph, job)) for job in jobs]
    except BaseException as error:
        # A client gets all results or none, so the completed jobs are removed as well.
        for job in jobs:
            graph.jobs.discard(job)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in running]


async def _run(graph: Graph, job: Job) -> Job:
    stored = await graph.jobs.submit(job)
    async with aclosing(graph.jobs.watch(stored.id, attend=True)) as events:
        async for event in events:
            if event.kind in ("failed", "cancelled"):
                error = event.data.get("error") or {"code": 500, "message": "the generation was cancelled"}
                code, headers = int(error["code"]), RETRY_AFTER if error["code"] == 503 else NO_RETRY
                raise ApiError(code, str(error["message"]), kind=error.get("type"), headers=headers)
    found = await graph.jobs.get(stored.id)
    if found is None or found.result is None:
        raise ApiError(500, "the generation was removed while it ran", headers=NO_RETRY)
    return found
