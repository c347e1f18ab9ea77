"""`/v1/videos`: jobs, their events and files, and the synchronous route."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from deployments.ingress.body import read_body
from deployments.ingress.coercions import flag
from deployments.ingress.errors import ApiError
from deployments.ingress.generation import Generation, read_video
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.middleware import request_id_of
from deployments.ingress.submission import check, make_job, notices
from deployments.ingress.waiting import finished
from deployments.media_store import local_path, read_media
from deployments.store import Job

MP4 = "video/mp4"
POLL_AFTER_MS = 500
MAX_DIGITS = 9


async def create_video(request: Request) -> Response:
    """Make a job and answer at once."""
    graph: Graph = request.app.state.graph
    served, generation, shown = await _read(graph, request)
    job = await graph.submit(await make_job(graph, "video", served, generation, shown, detached=True))
    return JSONResponse(video_object(job), headers=notices(graph, generation))


async def create_video_sync(request: Request) -> Response:
    """Generate while the client waits, and answer with the MP4."""
    graph: Graph = request.app.state.graph
    served, generation, shown = await _read(graph, request)
    (job,) = await finished(graph, request, [await make_job(graph, "video", served, generation, shown)])
    assert job.result is not None
    headers = notices(graph, generation) | {
        "X-Model": job.model,
        "X-Job-Id": job.id,
        "X-Inference-Time-S": f"{sum(job.result['stage_seconds'].values()):.3f}",
        "X-Stage-Durations": json.dumps(job.result["stage_seconds"], separators=(",", ":")),
        "X-Peak-Memory-MB": f"{job.result['peak_memory_bytes'] / 1e6:.3f}",
        "X-Latents-SHA256": json.dumps(job.result["latents_sha256"], separators=(",", ":")),
    }
    try:
        content = await asyncio.to_thread(read_media, job.result["uri"])
    finally:
        graph.discard(job)
    return Response(content, media_type=MP4, headers=headers)


async def video(request: Request) -> Response:
    """A job as it stands, or its end."""
    job = await _job(request)
    if request.method == "DELETE":
        return await _delete(request, job)
    headers = {} if job.final else {"openai-poll-after-ms": str(POLL_AFTER_MS)}
    return JSONResponse(video_object(job), headers=headers)


async def _delete(request: Request, job: Job) -> Response:
    """Stop a job where it runs and remove it with its file."""
    graph: Graph = request.app.state.graph
    await graph.delete(job.id)
    return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})


async def video_content(request: Request) -> Response:
    """The MP4 of a completed job, with ranges."""
    if request.query_params.get("variant", "video") != "video":
        raise ApiError(400, "variant is not available; expected video", param="variant")
    job = await _job(request)
    if job.status == "failed":
        raise ApiError(422, f"the generation failed: {(job.error or {}).get('message', '')}")
    if job.result is None:
        raise ApiError(404, "Generation is still in-progress")
    return await _file(job, {"Content-Disposition": f'attachment; filename="{job.id}.mp4"'})


async def video_events(request: Request) -> Response:
    """A job's events as server-sent events; `Last-Event-ID` continues where a connection broke.

    Previews come to those who ask with `?previews=true`: not everybody expects a picture.
    """
    job = await _job(request)
    graph: Graph = request.app.state.graph
    last = request.headers.get("last-event-id", "0")
    if not last.isdecimal() or len(last) > MAX_DIGITS:
        raise ApiError(400, f"Last-Event-ID is {last[:40]!r}; expected a number", param="Last-Event-ID")
    try:
        previews = flag(request.query_params.get("previews", False))
    except ValueError as error:
        raise ApiError(400, f"previews {error}", param="previews") from None
    if job.final and int(last) >= await graph.events_so_far(job.id):
        # What tells a browser not to ask again.
        return Response(status_code=204)

    async def events() -> AsyncIterator[ServerSentEvent]:
        async with aclosing(graph.watch(job.id, int(last))) as stream:
            async for event in stream:
                if event.kind == "preview" and not previews:
                    continue
                yield ServerSentEvent(json.dumps(event.data), event=event.kind, id=str(event.number))

    return EventSourceResponse(events(), ping=15)


async def _read(graph: Graph, request: Request) -> tuple[ServedCard, Generation, dict[str, Any]]:
    body = await read_body(request)
    generation = await asyncio.to_thread(read_video, body)
    served, resolved = await check(graph, generation)
    if resolved.mode.is_image:
        raise ApiError(400, "mode is text2image; expected POST /v1/images/generations", param="mode")
    shown = {
        "size": generation.size,
        "seconds": generation.seconds,
        "prompt": generation.request.prompt,
        "fps": resolved.fps,
        "num_frames": resolved.num_frames,
        "metrics": generation.return_stage_metrics,
        "guardrails": graph.settings.guardrails,
        "request_id": request_id_of(request),
    }
    return served, generation, shown


async def _job(request: Request) -> Job:
    graph: Graph = request.app.state.graph
    job = await graph.job(request.path_params["id"])
    if job is None or job.kind != "video":
        raise ApiError(404, "Video not found")
    return job


async def _file(job: Job, headers: dict[str, str]) -> Response:
    assert job.result is not None
    uri = job.result["uri"]
    path = local_path(uri)
    if path is None:
        return Response(await asyncio.to_thread(read_media, uri), media_type=MP4, headers=headers)
    if not path.is_file():
        raise ApiError(404, "the file of this generation is gone")
    return FileResponse(path, media_type=MP4, headers=headers)


def video_object(job: Job) -> dict[str, Any]:
    """A job as vLLM-Omni's and OpenAI's clients know it."""
    result, shown = job.result or {}, job.shown
    frames, fps = result.get("num_frames", shown["num_frames"]), result.get("fps", shown["fps"])
    seconds = result.get("stage_seconds", {})
    return {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "prompt": shown["prompt"],
        "status": job.status,
        "progress": job.progress,
        "size": f"{result['width']}x{result['height']}" if result and not shown["size"] else shown["size"],
        "seconds": shown["seconds"],
        "quality": "default",
        "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "expires_at": None,
        "error": job.error,
        "remixed_from_video_id": None,
        "media_type": MP4,
        "file_name": f"{job.id}.mp4" if result else None,
        "fps": fps,
        "num_frames": frames,
        "duration_s": frames / fps,
        "inference_time_s": sum(seconds.values()) if result else None,
        "stage_durations": seconds,
        "peak_memory_mb": result.get("peak_memory_bytes", 0) / 1e6,
        "metrics": result.get("handed_over_bytes") if shown["metrics"] else None,
        "action": result.get("action"),
        "seed": result.get("seed"),
        "guardrails": shown["guardrails"],
        "latents_sha256": result.get("latents_sha256"),
    }
