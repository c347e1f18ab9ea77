"""One generation over the stages: encode, denoise, decode. Cancelling it cancels the stage that runs.

It knows neither the store nor HTTP: it takes a call and reports events, which `driver` records.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from cosmos3_core.manifest import Manifest
from cosmos3_core.media.checks import DEFAULT_QUALITY
from cosmos3_core.request import Event, Finished, StageName, Started
from deployments.wire.callers import this_actor
from deployments.wire.calls import DecodeCall, DecodedFile, DenoiseCall, FileFormat, GenerationCall, Preview
from deployments.wire.handles import StageHandles, answer_of, items_of
from deployments.wire.messages import EncodedMessage, HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass

Report = Callable[[Event | Preview], Awaitable[None]]


@dataclass(frozen=True)
class OutputFile:
    """The file that a generation writes.

    Attributes:
        target: URI of the file.
        format: the file's format.
        quality: 1 to 100, as in `DecodeCall`.
    """

    target: str
    format: FileFormat
    quality: int = DEFAULT_QUALITY


@dataclass
class Timings:
    """What a generation took.

    Attributes:
        seconds: wall time per stage, as its caller measures it.
        handed_over: bytes passed between stages: `encode_denoise` (offered), `fetched` (what the ranks lacked),
            `denoise_decode`.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    handed_over: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GenerationOutcome:
    """The result of a generation: its file, and what the stages know of it."""

    file: DecodedFile
    encoded: EncodedMessage
    latents: LatentsMessage
    timings: Timings

    def manifest(self, call: GenerationCall, *, tries: int, created_at: float) -> Manifest:
        """The record of the generation.

        Args:
            call: the request.
            tries: how often it was started.
            created_at: when it was requested, in Unix seconds.
        """
        return Manifest.of(
            fields=call.fields,
            encode=self.encoded.facts,
            denoise=self.latents.facts,
            latents_sha256=self.latents.sha256,
            stage_seconds=self.timings.seconds,
            created_at=created_at,
            job_id=call.job_id,
            tries=tries,
        )


async def generate(
    stages: StageHandles,
    call: GenerationCall,
    output: OutputFile,
    report: Report,
    *,
    service_class: ServiceClass = ServiceClass.STANDARD,
    snapshot: str | None = None,
    resume: bool = False,
    attempt: int = 1,
) -> GenerationOutcome:
    """Run a generation from a validated request to a published file.

    Args:
        stages: the stages to run it on.
        call: the request.
        output: the file to write.
        report: called with each event.
        service_class: how urgent it is.
        snapshot: URI where its state is saved while it is denoised; None saves none.
        resume: whether a snapshot may exist, to continue from.
        attempt: number of the try; a later try replaces an earlier one that still runs.

    Raises:
        RequestError: a stage refuses the request.
        RayActorError, ObjectLostError, HandoffLost: a process died; the generation may be run again (`is_repeatable`).
    """
    timings = Timings()
    async with _stage("encode", timings, report):
        encoded: EncodedMessage = await answer_of(stages.encoder.encode.remote(call))
    async with _stage("denoise", timings, report):
        denoise = DenoiseCall(
            job_id=call.job_id,
            message=encoded,
            service_class=service_class,
            snapshot=snapshot,
            resume=resume,
            attempt=attempt,
            caller=this_actor(),
        )
        latents = await _denoise(stages.generator, denoise, report)
    decode = DecodeCall(
        job_id=call.job_id,
        latents=latents,
        clip=encoded.clip,
        target=output.target,
        format=output.format,
        quality=output.quality,
    )
    async with _stage("decode", timings, report):
        file: DecodedFile = await answer_of(stages.decoder.decode.remote(decode))
    timings.handed_over |= {
        "encode_denoise": encoded.nbytes,
        "fetched": latents.fetched_bytes,
        "denoise_decode": latents.nbytes,
    }
    return GenerationOutcome(file=file, encoded=encoded, latents=latents, timings=timings)


@asynccontextmanager
async def _stage(name: StageName, timings: Timings, report: Report) -> AsyncIterator[None]:
    await report(Started(name))
    started = time.perf_counter()
    yield
    timings.seconds[name] = time.perf_counter() - started
    await report(Finished(name, timings.seconds[name]))


async def _denoise(generator: Any, call: DenoiseCall, report: Report) -> LatentsMessage:
    async with aclosing(items_of(generator.denoise.remote(call))) as updates:
        async for update in updates:
            if isinstance(update, LatentsMessage):
                return await _owned(update)
            await report(update)
    raise HandoffLost("the Generator stopped it, because another process drives it or its caller seemed dead")


async def _owned(latents: LatentsMessage) -> LatentsMessage:
    """Latents that this process owns: the gang that made them may be scaled down before they are decoded."""
    return replace(latents, reference=ray.put(await latents.reference))


def is_repeatable(error: BaseException) -> bool:
    """Whether an error means that a process died, so that the same generation may succeed when it is run again."""
    return isinstance(error, (RayActorError, ObjectLostError, HandoffLost))
