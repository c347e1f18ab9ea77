"""One generation over the stages: encode, denoise, decode. Whoever cancels it stops whatever stage runs.

It knows nothing of stores and HTTP: it takes a call and reports events; `jobs` keeps them.
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
from cosmos3_core.request import Event, Finished, StageName, Started
from deployments.wire.callers import this_actor
from deployments.wire.calls import DecodeCall, DecodedFile, DenoiseCall, FileFormat, GenerationCall, Preview
from deployments.wire.handles import StageHandles, answer_of, items_of
from deployments.wire.handoff import EncodedMessage, HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass

Report = Callable[[Event | Preview], Awaitable[None]]


@dataclass(frozen=True)
class Output:
    """Where a result goes."""

    target: str
    format: FileFormat
    quality: int = 95


@dataclass
class Timings:
    """What a generation cost.

    Attributes:
        seconds: wall time per stage, as the caller of the stage sees it.
        handed_over: bytes that crossed a border: `encode_denoise` (offered), `fetched` (what the ranks lacked),
            `denoise_decode`.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    handed_over: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GenerationOutcome:
    """What came of a generation."""

    file: DecodedFile
    encoded: EncodedMessage
    latents: LatentsMessage
    timings: Timings

    def manifest(self, call: GenerationCall, *, tries: int, created_at: float) -> Manifest:
        """The record of the generation.

        Args:
            call: what was asked for.
            tries: how often it was started.
            created_at: when it was asked for, in Unix seconds.
        """
        return Manifest.of(
            *(call.fields, self.encoded.facts, self.latents.facts),
            *(self.latents.sha256, self.timings.seconds),
            created_at=created_at,
            job_id=call.job_id,
            tries=tries,
        )


async def generate(
    stages: StageHandles,
    call: GenerationCall,
    output: Output,
    report: Report,
    service_class: ServiceClass = ServiceClass.STANDARD,
    snapshot: str | None = None,
    resume: bool = False,
    attempt: int = 1,
) -> GenerationOutcome:
    """Run a generation from a validated request to a published file.

    Args:
        stages: who does it.
        call: what shall be made.
        output: where it goes.
        report: hears of every event.
        service_class: how urgent it is.
        snapshot: URI where its state is kept while it is denoised.
        resume: whether it was tried before, so that a snapshot may be there.
        attempt: counts up with each try; a later one takes the place of an earlier one.

    Raises:
        RequestError: a stage refuses it.
        RayActorError, HandoffLost: a process died under it; `is_repeatable` says so, and it may be run again.
    """
    timings = Timings()
    async with _stage("encode", timings, report):
        encoded: EncodedMessage = await answer_of(stages.encoder.encode.remote(call))
    async with _stage("denoise", timings, report):
        denoise = DenoiseCall(call.job_id, encoded, service_class, snapshot, resume, attempt, this_actor())
        latents = await _denoise(stages.generator, denoise, report)
    decode = DecodeCall(call.job_id, latents, encoded.clip, output.target, output.format, output.quality)
    async with _stage("decode", timings, report):
        file: DecodedFile = await answer_of(stages.decoder.decode.remote(decode))
    timings.handed_over |= {
        "encode_denoise": encoded.nbytes,
        "fetched": latents.fetched_bytes,
        "denoise_decode": latents.nbytes,
    }
    return GenerationOutcome(file, encoded, latents, timings)


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
    raise HandoffLost("the Generator let it go, because another process drives it or seemed to")


async def _owned(latents: LatentsMessage) -> LatentsMessage:
    """The latents as an object of this process: the gang that made them may be scaled down before they are decoded."""
    return replace(latents, reference=ray.put(await latents.reference))


def is_repeatable(error: BaseException) -> bool:
    """Whether a process died, so that the same generation may well succeed when it is run again."""
    return isinstance(error, (RayActorError, ObjectLostError, HandoffLost))
