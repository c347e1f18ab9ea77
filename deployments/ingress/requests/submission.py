"""From a checked request to a job: the checks that need a checkpoint and media, the media stored, the record made.

After this nothing can be wrong with a request that could have been known before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from dataclasses import asdict
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.media.files import DEFAULT_QUALITY
from cosmos3_core.request import MEDIA_FIELDS, GenerationRequest
from cosmos3_core.resolve import ResolvedRequest, resolve
from deployments.ingress.api_keys import Caller
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.generation import Generation
from deployments.ingress.routes.models import generation_model
from deployments.jobs.flow import Output
from deployments.jobs.job import Job, JobKind
from deployments.jobs.webhooks import check_url
from deployments.wire.calls import FileFormat, GenerationCall
from deployments.wire.media_store import INPUTS, OUTPUTS, SNAPSHOTS

PREFIX: dict[JobKind, str] = {"video": "video_gen_", "image": "img_gen_"}


async def check(graph: Graph, generation: Generation, detached: bool = False) -> tuple[ServedCard, ResolvedRequest]:
    """Find the model and decide every number of the request, in a thread, for media are decoded.

    Args:
        graph: what is served.
        generation: as it was read.
        detached: whether it becomes a job that nobody waits for.

    Raises:
        ApiError: 400, naming the field.
    """
    served = generation_model(graph, generation.model)
    if graph.settings.guardrails == "on" and generation.guardrails is not False:
        message = "guardrails are asked for and none is loaded here; send guardrails: false"
        raise ApiError(400, message, param="guardrails")
    _check_webhook(graph, generation, detached)
    try:
        return served, await asyncio.to_thread(_resolve, generation.request, served)
    except RequestError as error:
        raise generation.refusal(error) from error


def _check_webhook(graph: Graph, generation: Generation, detached: bool) -> None:
    url, webhooks = generation.webhook_url, graph.settings.webhooks
    if url is None:
        return
    name = generation.names.get("webhook_url", "webhook_url")
    if not detached:
        raise ApiError(400, f"{name} is given on a route that answers itself; POST /v1/videos calls back", param=name)
    if webhooks is None:
        raise ApiError(400, f"{name} is given, and this server calls no webhooks; poll, or read the events", param=name)
    try:
        check_url(url, webhooks.allow_private)
    except ValueError as error:
        raise ApiError(400, f"{name} {error}", param=name) from None


def _resolve(request: GenerationRequest, served: ServedCard) -> ResolvedRequest:
    return resolve(request, served.card.facts, read_inputs(request))


def echo(generation: Generation, resolved: ResolvedRequest, guardrails: str, request_id: str) -> dict[str, Any]:
    """What a video job's record shows of its request (`Job.shown`)."""
    return {
        "size": generation.size,
        "seconds": generation.seconds,
        "prompt": generation.request.prompt,
        "fps": resolved.fps,
        "num_frames": resolved.num_frames,
        "metrics": generation.return_stage_metrics,
        "guardrails": guardrails,
        "request_id": request_id,
    }


async def make_job(
    graph: Graph,
    kind: JobKind,
    served: ServedCard,
    generation: Generation,
    shown: dict[str, Any],
    caller: Caller,
    resolved: ResolvedRequest,
    *,
    format: FileFormat = "mp4",
    quality: int = DEFAULT_QUALITY,
    count: int = 1,
    detached: bool = False,
) -> Job:
    """Store a request's media and make its record, not yet submitted.

    Whoever waits is served before jobs that nobody waits for, unless the request says otherwise.
    """
    request = generation.request
    job_id = f"{PREFIX[kind]}{uuid.uuid4().hex}"
    given = {name: getattr(request, name) for name in MEDIA_FIELDS if getattr(request, name) is not None}
    media = {
        name: await asyncio.to_thread(graph.media.put, f"{INPUTS}/{job_id}.{name}", content)
        for name, content in given.items()
    }
    call = GenerationCall.of(job_id, request, media)
    output = Output(graph.media.uri(f"{OUTPUTS}/{job_id}.{format}"), format, quality)
    fingerprint = ""
    if caller.idempotency_key is not None:
        circumstances = (served.card.name, format, quality, detached, *([count] if count > 1 else []))
        fingerprint = await asyncio.to_thread(_fingerprint, generation, given, *circumstances)
    service_class = generation.service_class or ("standard" if detached else "interactive")
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
            "snapshot": graph.media.uri(f"{SNAPSHOTS}/{job_id}.safetensors"),
            "webhook": generation.webhook_url,
        },
        shown=shown,
        service_class=service_class,
        api_key=caller.api_key,
        gpu_seconds=served.card.gpu_seconds(resolved),
        idempotency_key=caller.idempotency_key,
        fingerprint=fingerprint,
    )


def _fingerprint(generation: Generation, media: dict[str, bytes], *circumstances: object) -> str:
    """Equal for requests that ask for the same: a hash of what was asked, where and how."""
    fields = generation.request.to_fields()
    if "seed" not in generation.names:
        # Where the client named none, each repetition may have drawn its own.
        fields.pop("seed", None)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in media.items()}
    asked = [fields, digests, generation.service_class, generation.webhook_url, *circumstances]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def notices(graph: Graph, generation: Generation) -> dict[str, str]:
    """Headers that say what was ignored and what was not checked."""
    headers = {}
    if generation.ignored:
        headers["X-Ignored-Fields"] = ", ".join(generation.ignored)
    if graph.settings.guardrails == "off":
        headers["X-Guardrails"] = "off"
    return headers
