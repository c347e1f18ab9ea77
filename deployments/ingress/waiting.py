"""Wait for work while its client waits: hanging up, or waiting too long, ends both."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request

from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph
from deployments.jobs.job import Job

T = TypeVar("T")
NO_RETRY = {"x-should-retry": "false"}


async def while_connected(request: Request, work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
    """The result of some work; a client that hangs up, or a limit in seconds that passes, cancels it.

    Raises:
        ApiError: 504 after the limit, 499 when the client hung up.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(request))
    both: set[asyncio.Task[Any]] = {task, gone}
    try:
        await asyncio.wait(both, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ApiError(499, "the client hung up", kind="ClientClosedRequest")
        message = f"not finished within {limit:g} s; POST /v1/videos makes a job that can be polled"
        raise ApiError(504, message, headers=NO_RETRY)
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.wait(both, timeout=1)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def finished(graph: Graph, request: Request, jobs: list[Job]) -> list[Job]:
    """Run jobs side by side and return them completed; the first that fails ends the others.

    Raises:
        ApiError: 504 after the operator's limit, 499 when the client hung up, or the failure of a job.
    """
    return await while_connected(request, _all_completed(graph, jobs), graph.settings.sync_timeout_s)


async def _all_completed(graph: Graph, jobs: list[Job]) -> list[Job]:
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_completed(graph, job)) for job in jobs]
    except BaseException as error:
        # Those that had completed are of no use without the others.
        for job in jobs:
            graph.jobs.let_go(job)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in running]


async def _completed(graph: Graph, job: Job) -> Job:
    stored = await graph.jobs.submit(job)
    async with aclosing(graph.jobs.watch(stored.id, attend=True)) as events:
        async for event in events:
            if event.kind in ("failed", "cancelled"):
                error = event.data.get("error") or {"code": 500, "message": "the generation was cancelled"}
                raise ApiError(int(error["code"]), str(error["message"]), headers=NO_RETRY)
    found = await graph.jobs.get(stored.id)
    if found is None or found.result is None:
        raise ApiError(500, "the generation was removed while it ran", headers=NO_RETRY)
    return found
