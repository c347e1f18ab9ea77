"""Wait for a job while its client waits: hanging up, or waiting too long, ends both."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from starlette.requests import Request

from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph
from deployments.store import Job, JobEvent

NO_RETRY = {"x-should-retry": "false"}


async def finished(graph: Graph, request: Request, jobs: list[Job]) -> list[Job]:
    """Run jobs side by side and return them completed; a client that hangs up cancels them.

    Raises:
        ApiError: 504 after the operator's limit, 499 when the client hung up, or the first failure of a job.
    """
    limit = graph.settings.sync_timeout_s
    work = asyncio.gather(*(_completed(graph, job) for job in jobs))
    gone = asyncio.create_task(hung_up(request))
    both: set[asyncio.Future[Any]] = {work, gone}
    try:
        done, _ = await asyncio.wait(both, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if work in done:
            return work.result()
        if gone in done:
            raise client_gone()
        message = f"not finished within {limit:g} s; POST /v1/videos makes a job that can be polled"
        raise ApiError(504, message, headers=NO_RETRY)
    finally:
        gone.cancel()
        work.cancel()
        await asyncio.wait(both, timeout=1)


async def _completed(graph: Graph, job: Job) -> Job:
    async with aclosing(graph.run(job)) as stream:
        async for item in stream:
            if isinstance(item, JobEvent) and item.kind in ("failed", "cancelled"):
                error = item.data.get("error") or {"code": 500, "message": "cancelled"}
                raise ApiError(int(error["code"]), str(error["message"]), headers=NO_RETRY)
    found = await graph.job(job.id)
    if found is None or found.result is None:
        raise ApiError(500, "the generation was removed while it ran", headers=NO_RETRY)
    return found


def client_gone() -> ApiError:
    """What is logged and counted for a client that hung up; nobody reads it."""
    return ApiError(499, "the client hung up", kind="ClientClosedRequest")


async def hung_up(request: Request) -> None:
    """Return when the client has hung up; its request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
