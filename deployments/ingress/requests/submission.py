"""Turns a request into a job: checks it against its model and its media, and stores the media.

This finds every error that can be found before a stage computes anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import DEFAULT_QUALITY
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import ResolvedRequest
from deployments.addresses import check_url
from deployments.ingress.api_keys import Caller
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.generation import Generation, header_safe
from deployments.ingress.requests.guarding import Guarding, guard, refuse_unguarded
from deployments.ingress.requests.model_choice import generation_model
from deployments.jobs.flow import OutputFile
from deployments.jobs.job import Job, JobKind
from deployments.wire.calls import FileFormat, GenerationCall
from deployments.wire.encoded_file import EncodedFile, digest_of
from deployments.wire.media_store import INPUTS, OUTPUTS, SNAPSHOTS
from deployments.wire.upsampling import FIELD, UpsampleCall

PREFIX: dict[JobKind, str] = {"video": "video_gen_", "image": "img_gen_"}


@dataclass(frozen=True)
class CheckedGeneration:
    """A request to generate that its model can serve.

    Attributes:
        generation: the request as it was read.
        served: the model.
        resolved: the request with every number decided.
        guarding: how it is guarded.
    """

    generation: Generation
    served: ServedCard
    resolved: ResolvedRequest
    guarding: Guarding

    @property
    def ignored(self) -> tuple[str, ...]:
        """The client's names of ignored fields: of those that no model reads, then of those that this one does not."""
        names = self.generation.names
        return self.generation.ignored + header_safe(names.get(field, field) for field in self.resolved.ignored)


async def check(graph: Graph, generation: Generation, detached: bool = False) -> CheckedGeneration:
    """Find a request's model, have its texts checked, decode its media to see if they can be, and resolve every number.

    Args:
        graph: the deployments and their models.
        generation: the request as it was read.
        detached: whether it becomes a job that no client waits for.

    Raises:
        ApiError: 400, naming the field; 503, guardrails are asked for and cannot be asked now.
    """
    served = generation_model(graph, generation)
    refuse_unguarded(graph, generation)
    _check_webhook(graph, generation, detached)
    guarding = await guard(graph, generation)
    request, decoder = generation.request, graph.decoder
    try:
        inputs = await decoder.apart(decoder.check, request)
        resolved = await asyncio.to_thread(resolve, request, served.card.facts, inputs)
    except RequestError as error:
        raise generation.refusal(error) from error
    return CheckedGeneration(generation, served, resolved, guarding)


def _check_webhook(graph: Graph, generation: Generation, detached: bool) -> None:
    url, webhooks = generation.webhook_url, graph.settings.webhooks
    if url is None:
        return
    name = generation.names.get("webhook_url", "webhook_url")
    if not detached:
        raise ApiError(400, f"{name} is given on a synchronous route; only POST /v1/videos calls webhooks", param=name)
    if webhooks is None:
        raise ApiError(
            400, f"{name} is given, but this server calls no webhooks; poll the job or read its events", param=name
        )
    try:
        check_url(url, webhooks.allow_private)
    except ValueError as error:
        raise ApiError(400, f"{name} {error}", param=name) from None


def shown_of_video(checked: CheckedGeneration, request_id: str) -> dict[str, Any]:
    """The fields of a video request that its job shows to the client (`Job.shown`)."""
    generation, resolved = checked.generation, checked.resolved
    return {
        "size": generation.size,
        "seconds": generation.seconds,
        "prompt": generation.request.prompt,
        "fps": resolved.fps,
        "num_frames": resolved.num_frames,
        "metrics": generation.return_stage_metrics,
        "guardrails": checked.guarding.word,
        "request_id": request_id,
    }


async def make_job(
    graph: Graph,
    checked: CheckedGeneration,
    *,
    kind: JobKind,
    shown: dict[str, Any],
    caller: Caller,
    format: FileFormat = "mp4",
    quality: int = DEFAULT_QUALITY,
    count: int = 1,
    detached: bool = False,
) -> Job:
    """Store a request's media and make its job, which is not submitted yet.

    Unless the request names a class of service, a client that waits is served before jobs that no client waits for.
    """
    generation, served, guarding = checked.generation, checked.served, checked.guarding
    request = generation.request
    job_id = f"{PREFIX[kind]}{uuid.uuid4().hex}"
    given = request.media()
    media = {
        name: await asyncio.to_thread(graph.media.put, f"{INPUTS}/{job_id}.{name}", content)
        for name, content in given.items()
    }
    call = GenerationCall.of(job_id, request, media)
    upsample = UpsampleCall.of(request, checked.resolved, media.get("image")) if generation.upsamples else None
    output = OutputFile(graph.media.uri(f"{OUTPUTS}/{job_id}.{format}"), format, quality)
    fingerprint = ""
    if caller.idempotency_key is not None:
        context = [served.card.name, format, quality, detached, *([count] if count > 1 else [])]
        if guarding.checked is not None:
            context.append({"guardrails": guarding.checked.application})
        fingerprint = await asyncio.to_thread(_fingerprint, generation, given, context)
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
            "upsample": None if upsample is None else asdict(upsample),
            "guardrails": None if guarding.checked is None else guarding.checked.to_json(),
        },
        shown=shown,
        service_class=service_class,
        api_key=caller.api_key,
        gpu_seconds=served.card.gpu_seconds(checked.resolved),
        idempotency_key=caller.idempotency_key,
        fingerprint=fingerprint,
    )


def _fingerprint(generation: Generation, media: dict[str, EncodedFile], context: list[object]) -> str:
    """A hash that is equal for requests for the same result.

    Args:
        generation: the request.
        media: its media by field.
        context: everything else that tells two results apart, such as the model and the file's format.
    """
    fields = generation.request.to_fields()
    if "seed" not in generation.names:
        # If the client sent no seed, each repetition of its request may have drawn another one.
        fields.pop("seed", None)
    digests = {name: digest_of(content) for name, content in media.items()}
    if generation.upsamples:
        fields[FIELD] = True
    hashed = [fields, digests, generation.service_class, generation.webhook_url, *context]
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def notices(ignored: tuple[str, ...], jobs: Sequence[Job]) -> dict[str, str]:
    """Headers that name the ignored fields and say in a word what guardrails say of the request's jobs."""
    words = [job.guarded for job in jobs]
    # Of several images one may be blurred.
    headers: dict[str, str] = {"X-Guardrails": "blurred" if "blurred" in words else words[0]}
    if ignored:
        headers["X-Ignored-Fields"] = ", ".join(ignored)
    return headers
