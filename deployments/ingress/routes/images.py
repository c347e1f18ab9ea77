"""`/v1/images/generations` and `/v1/images/edits`: images while the client waits."""

from __future__ import annotations

import asyncio
import base64
import io
import time
import uuid
import zipfile
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cosmos3_core.sampling.sampling import later_seed
from deployments.ingress.answers import ImagesAnswer
from deployments.ingress.api_keys import Caller, caller_of
from deployments.ingress.graph import Graph
from deployments.ingress.intake import holding_of
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.addressed_media import fetch_media
from deployments.ingress.requests.body import read_body, read_json
from deployments.ingress.requests.generation import ImageGeneration, read_edit, read_image
from deployments.ingress.requests.generation_addresses import in_generation
from deployments.ingress.requests.submission import check, make_job, notices
from deployments.ingress.waiting import run_jobs
from deployments.jobs.job import Job
from deployments.wire.media_store import read_media


async def create_image(request: Request) -> Response:
    """Generate `n` images. The first image uses the request's seed, each further image the next seed."""
    caller = caller_of(request)
    return await _generated(request, caller, await asyncio.to_thread(read_image, await read_json(request)))


async def edit_image(request: Request) -> Response:
    """Change a picture as the prompt says, `n` times. The first image uses the request's seed, each further the next.

    The picture is sent as `image`, or its URL as `url`. Without a size the answer has its aspect, and there is no mask:
    text alone says what is to change. Everything else is as when images are generated.
    """
    caller = caller_of(request)
    return await _generated(request, caller, await _read_edit(request))


async def _read_edit(request: Request) -> ImageGeneration:
    body = await read_body(request)
    await fetch_media(request, lambda: in_generation(body.fields, tables.EDIT))
    return await asyncio.to_thread(read_edit, body)


async def _generated(request: Request, caller: Caller, generation: ImageGeneration) -> Response:
    graph: Graph = request.app.state.graph
    checked = await check(graph, generation)
    canvas = checked.resolved.canvas
    size = f"{canvas.width}x{canvas.height}"
    shown = {"size": size, "guardrails": checked.guarding.word}
    jobs = [
        await make_job(
            graph,
            replace(checked, generation=_seeded(generation, number)),
            kind="image",
            shown=shown,
            caller=_numbered(caller, number),
            format=generation.output_format,
            quality=max(1, generation.output_compression),
            count=generation.n,
        )
        for number in range(generation.n)
    ]
    ignored, model = checked.ignored, checked.served.card.name
    del checked
    generation = generation.without_media()
    holding_of(request).release()
    started = time.perf_counter()
    jobs = await run_jobs(graph, request, jobs)
    seconds = time.perf_counter() - started
    try:
        images = [await asyncio.to_thread(read_media, job.result["uri"]) for job in jobs if job.result]
    finally:
        for job in jobs:
            graph.jobs.discard(job)
    headers = notices(ignored, jobs) | {"X-Model": model, "X-Inference-Time-S": f"{seconds:.3f}"}
    if generation.response_format == "file":
        return _files(images, generation, headers)
    return JSONResponse(_answer(images, jobs, generation, size), headers=headers)


def _numbered(caller: Caller, number: int) -> Caller:
    """The caller with an idempotency key for one of several images, because each image is a job."""
    if caller.idempotency_key is None:
        return caller
    # A client's own key cannot contain a line break.
    return replace(caller, idempotency_key=f"{caller.idempotency_key}\n{number}")


def _seeded(generation: ImageGeneration, number: int) -> ImageGeneration:
    request = generation.request
    seed = later_seed(request.seed, number)
    return replace(generation, request=request.model_copy(update={"seed": seed}))


def _answer(images: list[bytes], jobs: list[Job], generation: ImageGeneration, size: str) -> ImagesAnswer:
    results = [job.result or {} for job in jobs]
    return {
        "created": int(time.time()),
        "data": [
            {
                "b64_json": base64.b64encode(image).decode(),
                "url": None,
                "revised_prompt": job.upsampled_prompt,
                "seed": result["seed"],
                "latents_sha256": result["latents_sha256"],
            }
            for image, job, result in zip(images, jobs, results, strict=True)
        ],
        "output_format": generation.output_format,
        "size": size,
        "cot_output": None,
        "metrics": {
            "stage_durations": results[0]["stage_seconds"],
            "peak_memory_mb": max(result["peak_memory_bytes"] for result in results) / 1e6,
            **({"handed_over_bytes": results[0]["handed_over_bytes"]} if generation.return_stage_metrics else {}),
        },
    }


def _files(images: list[bytes], generation: ImageGeneration, headers: dict[str, str]) -> Response:
    extension = generation.output_format
    if len(images) == 1:
        name = f'attachment; filename="image_{uuid.uuid4().hex[:8]}.{extension}"'
        return Response(images[0], media_type=f"image/{extension}", headers=headers | {"Content-Disposition": name})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as files:
        for index, image in enumerate(images):
            files.writestr(f"image_{index}.{extension}", image)
    name = 'attachment; filename="images.zip"'
    return Response(archive.getvalue(), media_type="application/zip", headers=headers | {"Content-Disposition": name})
