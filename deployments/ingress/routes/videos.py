"""`POST /v1/videos` and `/v1/videos/sync`: generation as a job, or while the client waits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from cosmos3_core.media.checks import DEFAULT_QUALITY
from deployments.ingress.api_keys import caller_of
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph
from deployments.ingress.intake import holding_of
from deployments.ingress.media_response import media_once
from deployments.ingress.middleware import request_id_of
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.addressed_media import fetch_media
from deployments.ingress.requests.body import read_body
from deployments.ingress.requests.generation import read_video
from deployments.ingress.requests.generation_addresses import in_generation
from deployments.ingress.requests.submission import CheckedGeneration, check, make_job, notices, shown_of_video
from deployments.ingress.routes.video_jobs import MP4, video_object
from deployments.ingress.waiting import run_jobs
from deployments.jobs.job import Job

QUALITY = {"standard": DEFAULT_QUALITY, "high": 97, "lossless": 100}
"""The names of qualities as numbers from 1 to 100."""


async def create_video(request: Request) -> Response:
    """Make a job, and answer before it runs."""
    graph: Graph = request.app.state.graph
    ignored, job = await _new_job(graph, request, detached=True)
    stored = await graph.jobs.submit(job)
    headers = notices(ignored, [stored])
    if stored.id != job.id:
        headers["Idempotent-Replayed"] = "true"
    try:
        positions = await graph.jobs.positions([stored])
    except ApiError:
        # The job is stored; after an error the client would make another one.
        positions = {}
    except asyncio.CancelledError:
        if stored.id == job.id:
            graph.jobs.discard(stored)
        raise
    return JSONResponse(video_object(stored, positions), headers=headers)


async def create_video_sync(request: Request) -> ASGIApp:
    """Generate while the client waits, and answer with the MP4."""
    graph: Graph = request.app.state.graph
    ignored, job = await _new_job(graph, request, detached=False)
    (job,) = await run_jobs(graph, request, [job])
    assert job.result is not None
    headers = notices(ignored, [job]) | _figures(job, job.result)
    return await media_once(request, job.result["uri"], MP4, headers, lambda: graph.jobs.discard(job))


def _figures(job: Job, result: dict[str, Any]) -> dict[str, str]:
    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    return {
        "X-Model": job.model,
        "X-Job-Id": job.id,
        "X-Seed": str(result["seed"]),
        "X-Inference-Time-S": f"{sum(result['stage_seconds'].values()):.3f}",
        "X-Stage-Durations": compact(result["stage_seconds"]),
        "X-Peak-Memory-MB": f"{result['peak_memory_bytes'] / 1e6:.3f}",
        "X-Latents-SHA256": compact(result["latents_sha256"]),
    }


async def _new_job(graph: Graph, request: Request, *, detached: bool) -> tuple[tuple[str, ...], Job]:
    """The names of ignored fields, and the job, whose media are stored; nothing else of the body is held any more."""
    caller = caller_of(request)
    body = await read_body(request)
    await fetch_media(request, lambda: in_generation(body.fields, tables.VIDEO))
    generation = await asyncio.to_thread(read_video, body)
    checked = await check(graph, generation, detached)
    _check_mode(checked)
    job = await make_job(
        graph,
        checked,
        kind="video",
        shown=shown_of_video(checked, request_id_of(request)),
        caller=caller,
        quality=QUALITY[generation.quality],
        detached=detached,
    )
    holding_of(request).release()
    return checked.ignored, job


def _check_mode(checked: CheckedGeneration) -> None:
    generation, mode = checked.generation, checked.resolved.mode
    name = generation.names.get("mode")
    if name == "action_mode" and mode.predicts_action and generation.request.raw_action_dim is None:
        # vLLM-Omni's own field for the mode comes with its rule (spec http_api 4.3), although most widths are known.
        message = f"raw_action_dim is missing; {mode.value} needs the width of the actions"
        raise ApiError(400, message, param="raw_action_dim")
