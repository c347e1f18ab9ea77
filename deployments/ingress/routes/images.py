"""`/v1/images/generations`: images while the client waits."""

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

from deployments.ingress.answers import ImagesAnswer
from deployments.ingress.api_keys import Caller, caller_of
from deployments.ingress.graph import Graph
from deployments.ingress.requests.body import read_json
from deployments.ingress.requests.generation import ImageGeneration, read_image
from deployments.ingress.requests.submission import check, make_job, notices
from deployments.ingress.waiting import finished
from deployments.jobs.job import Job
from deployments.wire.media_store import read_media

SEED_SPAN = 2**63


async def create_image(request: Request) -> Response:
    """Generate `n` images; each further one takes the next seed."""
    graph: Graph = request.app.state.graph
    caller = caller_of(request)
    generation = await asyncio.to_thread(read_image, await read_json(request))
    served, resolved = await check(graph, generation)
    size = f"{resolved.canvas.width}x{resolved.canvas.height}"
    shown = {"size": size, "guardrails": graph.settings.guardrails}
    jobs = [
        await make_job(
            *(graph, "image", served, _seeded(generation, number), shown, _numbered(caller, number), resolved),
            format=generation.output_format,
            quality=max(1, generation.output_compression),
            count=generation.n,
        )
        for number in range(generation.n)
    ]
    started = time.perf_counter()
    jobs = await finished(graph, request, jobs)
    seconds = time.perf_counter() - started
    try:
        images = [await asyncio.to_thread(read_media, job.result["uri"]) for job in jobs if job.result]
    finally:
        for job in jobs:
            graph.jobs.let_go(job)
    headers = notices(graph, generation) | {"X-Model": served.card.name, "X-Inference-Time-S": f"{seconds:.3f}"}
    if generation.response_format == "file":
        return _files(images, generation, headers)
    return JSONResponse(_answer(images, jobs, generation, size), headers=headers)


def _numbered(caller: Caller, number: int) -> Caller:
    """The caller of one of several images, each of which is a job of its own."""
    if caller.idempotency_key is None:
        return caller
    # No client can send a key with this character.
    return replace(caller, idempotency_key=f"{caller.idempotency_key}\n{number}")


def _seeded(generation: ImageGeneration, number: int) -> ImageGeneration:
    request = generation.request
    seed = (request.seed + number + SEED_SPAN) % (2 * SEED_SPAN) - SEED_SPAN
    return replace(generation, request=request.model_copy(update={"seed": seed}))


def _answer(images: list[bytes], jobs: list[Job], generation: ImageGeneration, size: str) -> ImagesAnswer:
    results = [job.result or {} for job in jobs]
    return {
        "created": int(time.time()),
        "data": [
            {
                "b64_json": base64.b64encode(image).decode(),
                "url": None,
                "revised_prompt": None,
                "seed": result["seed"],
                "latents_sha256": result["latents_sha256"],
            }
            for image, result in zip(images, results, strict=True)
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
