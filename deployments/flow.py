"""One generation over the stages: encode, denoise, decode. Whoever cancels it stops whatever stage runs.

It knows nothing of stores and HTTP: it takes a call and reports events; `jobs` keeps them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import ObjectLostError, RayActorError

from cosmos3_core.request import Event, Finished, StageName, Started, Step
from deployments.calls import DecodeCall, DecodedFile, FileFormat, GenerationCall
from deployments.handoff import EncodedMessage, LatentsMessage
from deployments.rank import HandoffLost
from deployments.stages import Stages

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
        encoded: EncodedMessage = await _answer(stages.encoder.encode.remote(call))
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
        file: DecodedFile = await _answer(stages.decoder.decode.remote(decode))
    await _finish(report, timings, "decode")
    return GenerationOutcome(file, encoded, latents, timings)


async def _answer(response: Any) -> Any:
    """A stage's answer; whoever stops waiting for it cancels the call."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


async def _denoise(generator: Any, job_id: str, encoded: EncodedMessage, report: Report) -> LatentsMessage:
    stream = generator.denoise.remote(job_id, encoded)
    try:
        async for update in stream:
            if isinstance(update, Step):
                await report(update)
            else:
                latents: LatentsMessage = update
                return latents
    except asyncio.CancelledError:
        stream.cancel()
        raise
    raise RuntimeError("the Generator's stream ended without latents")


async def _finish(report: Report, timings: Timings, stage: StageName) -> None:
    await report(Finished(stage, timings.seconds[stage]))


def is_repeatable(error: BaseException) -> bool:
    """Whether a process died, so that the same generation may well succeed when it is run again."""
    return isinstance(error, (RayActorError, ObjectLostError, HandoffLost))
