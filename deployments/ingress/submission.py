"""From a checked request to a job: the checks that need a checkpoint and media, the media stored, the record made.

After this nothing can be wrong with a request that could have been known before.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolve import ResolvedRequest, resolve
from deployments.calls import MEDIA_FIELDS, FileFormat, GenerationCall
from deployments.flow import Output
from deployments.ingress.errors import ApiError
from deployments.ingress.generation import Generation
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.models import generation_model
from deployments.store import Job, JobKind

PREFIX: dict[JobKind, str] = {"video": "video_gen_", "image": "img_gen_"}


async def check(graph: Graph, generation: Generation) -> tuple[ServedCard, ResolvedRequest]:
    """Find the model and decide every number of the request, in a thread, for media are decoded.

    Raises:
        ApiError: 400, naming the field.
    """
    served = generation_model(graph, generation.model)
    if graph.settings.guardrails == "on" and generation.guardrails is not False:
        message = "guardrails are asked for and none is loaded here; send guardrails: false"
        raise ApiError(400, message, param="guardrails")
    try:
        return served, await asyncio.to_thread(_resolve, generation.request, served)
    except RequestError as error:
        raise generation.refusal(error) from error


def _resolve(request: GenerationRequest, served: ServedCard) -> ResolvedRequest:
    return resolve(request, served.card.facts, read_inputs(request))


async def make_job(
    graph: Graph,
    kind: JobKind,
    served: ServedCard,
    generation: Generation,
    shown: dict[str, Any],
    *,
    format: FileFormat = "mp4",
    quality: int = 95,
    detached: bool = False,
) -> Job:
    """Store a request's media and make its record, not yet submitted.

    Whoever waits is served before jobs that nobody waits for, unless the request says otherwise.
    """
    request = generation.request
    job_id = f"{PREFIX[kind]}{uuid.uuid4().hex}"
    given = {name: getattr(request, name) for name in MEDIA_FIELDS if getattr(request, name) is not None}
    media = {
        name: await asyncio.to_thread(graph.media.put, f"inputs/{job_id}.{name}", content)
        for name, content in given.items()
    }
    call = GenerationCall.of(job_id, request, media)
    output = Output(graph.media.uri(f"outputs/{job_id}.{format}"), format, quality)
    return Job(
        id=job_id,
        kind=kind,
        model=served.card.name,
        application=served.application,
        decoder=served.card.decoder,
        detached=detached,
        request={
            "fields": call.fields,
            "media": call.media,
            "output": asdict(output),
            "service_class": generation.service_class or ("standard" if detached else "interactive"),
            "snapshot": graph.media.uri(f"snapshots/{job_id}.safetensors"),
        },
        shown=shown,
    )


def notices(graph: Graph, generation: Generation) -> dict[str, str]:
    """Headers that say what was ignored and what was not checked."""
    headers = {}
    if generation.ignored:
        headers["X-Ignored-Fields"] = ", ".join(generation.ignored)
    if graph.settings.guardrails == "off":
        headers["X-Guardrails"] = "off"
    return headers
