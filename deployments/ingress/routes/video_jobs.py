"""Lists of jobs, and `/v1/videos/{id}` with everything below it: a job, its file, its events, its deletion."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Literal, cast

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.ingress.answers import VideoObject, video_deleted, video_page
from deployments.ingress.api_keys import caller_of
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph
from deployments.ingress.media_response import media_response
from deployments.ingress.open_streams import OpenStreams
from deployments.ingress.requests.coercions import excerpt, flag, within
from deployments.jobs.job import MAX_PAGE, Job, preview_jpeg

MP4: Literal["video/mp4"] = "video/mp4"
EVENT_STREAM = "text/event-stream"
POLL_AFTER_MS = 500
MAX_DIGITS = 9
MAX_PAGE_BYTES = 4 * 2**20
"""A page that holds so much has no further job; clients ask for the rest, as for any page."""
LOWEST_ERROR, HIGHEST_ERROR, DEFAULT_ERROR = 400, 599, 500


async def list_videos(request: Request) -> Response:
    """A page of the caller's jobs, newest first unless `order=asc`; `after` is the last id of the previous page."""
    graph: Graph = request.app.state.graph
    query = request.query_params
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, f"order is {excerpt(order)}; expected asc or desc", param="order")
    try:
        limit = within(0, MAX_PAGE)(query.get("limit", MAX_PAGE))
    except ValueError as error:
        raise ApiError(400, f"limit {error}", param="limit") from None
    api_key = caller_of(request).api_key
    page = await graph.jobs.page("video", api_key, query.get("after"), limit, cast(Literal["asc", "desc"], order))
    positions = await graph.jobs.positions(page.jobs)
    shown = _on_one_page([video_object(job, positions) for job in page.jobs])
    return JSONResponse(video_page(shown, page.has_more or len(shown) < len(page.jobs)))


def _on_one_page(jobs: list[VideoObject]) -> list[VideoObject]:
    """The first of some jobs, at least one: their prompts are whole, and may be long."""
    total = 0
    for number, job in enumerate(jobs, 1):
        total += len(json.dumps(job))
        if total >= MAX_PAGE_BYTES:
            return jobs[:number]
    return jobs


async def video(request: Request) -> Response:
    """A job's current state."""
    graph: Graph = request.app.state.graph
    job = await _find_job(request)
    headers = {} if job.final else {"openai-poll-after-ms": str(POLL_AFTER_MS)}
    return JSONResponse(video_object(job, await graph.jobs.positions([job])), _status(graph, job), headers=headers)


def _status(graph: Graph, job: Job) -> int:
    if job.error is None or graph.settings.failed_job_answer == "ok":
        return 200
    code = job.error["code"]
    return code if isinstance(code, int) and LOWEST_ERROR <= code <= HIGHEST_ERROR else DEFAULT_ERROR


async def delete_video(request: Request) -> Response:
    """Stop a job if it runs, and remove it with its file."""
    graph: Graph = request.app.state.graph
    job = await _find_job(request)
    await graph.jobs.delete(job.id)
    return JSONResponse(video_deleted(job.id))


async def video_content(request: Request) -> Response:
    """The MP4 of a completed job; ranges are supported."""
    variant = request.query_params.get("variant", "video")
    if variant != "video":
        raise ApiError(400, f"variant is {excerpt(variant)}; expected video", param="variant")
    job = await _find_job(request)
    if job.status == "failed":
        raise ApiError(422, f"the generation failed: {(job.error or {}).get('message', '')}")
    if job.result is None:
        raise ApiError(404, "Generation is still in-progress")
    return await media_response(request, job.result["uri"], MP4, f"{job.id}.mp4")


async def video_preview(request: Request) -> Response:
    """The newest preview of a job's result, as JPEG."""
    graph: Graph = request.app.state.graph
    job = await _find_job(request)
    event = await graph.jobs.last_event(job.id, "preview")
    if event is None:
        raise ApiError(
            404, "there is no preview of this generation yet, or at all; previews are a setting of the model"
        )
    headers = {"X-Step": str(event.data["step"]), "Cache-Control": "no-store"}
    return Response(preview_jpeg(event), media_type="image/jpeg", headers=headers)


async def video_manifest(request: Request) -> Response:
    """A completed job's manifest: everything that is needed to reproduce it."""
    job = await _find_job(request)
    manifest = (job.result or {}).get("manifest")
    if manifest is None:
        raise ApiError(404, "there is no manifest of this generation yet, or at all")
    return JSONResponse(manifest)


async def video_events(request: Request) -> Response:
    """A job's events as server-sent events; `Last-Event-ID` resumes after a broken connection.

    Previews are sent only with `?previews=true`, because not every client expects pictures.
    """
    streams: OpenStreams = request.app.state.streams
    caller = caller_of(request).api_key
    streams.check(caller)
    job = await _find_job(request)
    graph: Graph = request.app.state.graph
    last = request.headers.get("last-event-id", "0")
    if not last.isdecimal() or len(last) > MAX_DIGITS:
        raise ApiError(400, f"Last-Event-ID is {last[:40]!r}; expected a number", param="Last-Event-ID")
    try:
        previews = flag(request.query_params.get("previews", False))
    except ValueError as error:
        raise ApiError(400, f"previews {error}", param="previews") from None
    newest = await graph.jobs.last_event(job.id)
    if int(last) > (newest.number if newest else 0):
        raise ApiError(400, f"Last-Event-ID is {last}; this job has had no such event", param="Last-Event-ID")
    if job.final and newest is not None and int(last) == newest.number:
        # This status tells a browser not to reconnect.
        return Response(status_code=204)
    if request.method == "HEAD":
        # There is nothing to wait for.
        return Response(media_type=EVENT_STREAM)

    async def events() -> AsyncIterator[ServerSentEvent]:
        async with aclosing(graph.jobs.watch(job.id, int(last))) as stream:
            async for event in stream:
                if event.kind == "preview" and not previews:
                    continue
                number = str(event.number) if event.number else None
                yield ServerSentEvent(json.dumps(event.data), event=event.kind, id=number)

    return streams.answer(caller, events())


async def _find_job(request: Request) -> Job:
    graph: Graph = request.app.state.graph
    job = await graph.jobs.get(request.path_params["id"])
    # Another caller's job is treated as if it did not exist.
    if job is None or job.kind != "video" or job.api_key != caller_of(request).api_key:
        raise ApiError(404, "Video not found")
    return job


def video_object(job: Job, positions: Mapping[str, int]) -> VideoObject:
    """A job in the form of vLLM-Omni and OpenAI.

    Args:
        job: the job.
        positions: the queue positions of queued jobs by id.
    """
    result, shown = job.result or {}, job.shown
    frames, fps = result.get("num_frames", shown["num_frames"]), result.get("fps", shown["fps"])
    seconds = result.get("stage_seconds", {})
    return {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "prompt": shown["prompt"],
        "upsampled_prompt": job.upsampled_prompt,
        "status": job.status,
        "progress": job.progress,
        "size": f"{result['width']}x{result['height']}" if result and not shown["size"] else shown["size"],
        "seconds": shown["seconds"],
        "quality": "default",
        "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "expires_at": None if job.expires_at is None else int(job.expires_at),
        "error": job.error,  # type: ignore[typeddict-item]  # kept as JSON
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
        "guardrails": job.guarded,
        "guardrail_checks": job.guardrail_checks,  # type: ignore[typeddict-item]  # kept as JSON
        "latents_sha256": result.get("latents_sha256"),
        "tries": job.tries,
        "interruptions": job.interruptions,
        "queue_position": positions.get(job.id),
    }
