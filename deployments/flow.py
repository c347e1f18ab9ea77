"""One generation over the stages: encode, denoise, decode. Whoever cancels it stops whatever stage runs.

It knows nothing of stores and HTTP: it takes a call and reports events; `jobs` keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from cosmos3_core.request import Event, Finished, StageName, Started, Step
from deployments.calls import DecodeCall, DecodedFile, FileFormat, GenerationCall
from deployments.handoff import EncodedMessage, LatentsMessage
from deployments.rank import HandoffLost
from deployments.stages import Stages, answer_of, items_of

Report = Callable[[Event], Awaitable[None]]


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

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        """Time a stage."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


@dataclass(frozen=True)
class GenerationOutcome:
    """What came of a generation."""

    file: DecodedFile
    encoded: EncodedMessage
    latents: LatentsMessage
    timings: Timings


async def generate(stages: Stages, call: GenerationCall, output: Output, report: Report) -> GenerationOutcome:
    """Run a generation from a validated request to a published file.

    Raises:
        RequestError: a stage refuses it.
        RayActorError, HandoffLost: a process died under it; `is_repeatable` says so, and it may be run again.
    """
    timings = Timings()
    await report(Started("encode"))
    with timings.stage("encode"):
        encoded: EncodedMessage = await answer_of(stages.encoder.encode.remote(call))
    timings.handed_over["encode_denoise"] = encoded.nbytes
    await _finish(report, timings, "encode")
    await report(Started("denoise"))
    with timings.stage("denoise"):
        latents = await _denoise(stages.generator, call.job_id, encoded, report)
    timings.handed_over |= {"fetched": latents.fetched_bytes, "denoise_decode": latents.nbytes}
    await _finish(report, timings, "denoise")
    await report(Started("decode"))
    decode = DecodeCall(call.job_id, latents, encoded.clip, output.target, output.format, output.quality)
    with timings.stage("decode"):
        file: DecodedFile = await answer_of(stages.decoder.decode.remote(decode))
    await _finish(report, timings, "decode")
    return GenerationOutcome(file, encoded, latents, timings)


async def _denoise(generator: Any, job_id: str, encoded: EncodedMessage, report: Report) -> LatentsMessage:
    async with aclosing(items_of(generator.denoise.remote(job_id, encoded))) as updates:
        async for update in updates:
            if isinstance(update, Step):
                await report(update)
            else:
                return await _owned(update)
    raise RuntimeError("the Generator's stream ended without latents")


async def _owned(latents: LatentsMessage) -> LatentsMessage:
    """The latents as an object of this process: the gang that made them may be scaled down before they are decoded."""
    return replace(latents, reference=ray.put(await latents.reference))


async def _finish(report: Report, timings: Timings, stage: StageName) -> None:
    await report(Finished(stage, timings.seconds[stage]))


def is_repeatable(error: BaseException) -> bool:
    """Whether a process died, so that the same generation may well succeed when it is run again."""
    return isinstance(error, (RayActorError, ObjectLostError, HandoffLost))
