"""One generation over the stages: upsample if wanted, then encode, denoise, decode, part by part.

Cancelling it cancels the stage that runs.

It knows neither the store nor HTTP: it takes a call and reports events, which `driver` records.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from cosmos3_core.guardrails.record import UPSAMPLED, GuardrailCheck, GuardrailRecord, merged
from cosmos3_core.manifest import Manifest, Upsampled
from cosmos3_core.media.checks import DEFAULT_QUALITY
from cosmos3_core.model.hashes import joined_sha256
from cosmos3_core.request import Event, Finished, StageName, Started, Step
from deployments.wire.callers import this_actor
from deployments.wire.calls import DecodeCall, DecodedFile, DenoiseCall, FileFormat, GenerationCall, JoinCall, Preview
from deployments.wire.guardrails import GuardrailsClient, JobGuardrails
from deployments.wire.handles import StageHandles, answer_of, items_of
from deployments.wire.messages import EncodedMessage, HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt

Report = Callable[[Event | Preview | UpsampledPrompt], Awaitable[None]]


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

    def hand_over(self, encoded: EncodedMessage, latents: LatentsMessage) -> None:
        """Add what a part's stages passed on."""
        passed = {
            "encode_denoise": encoded.nbytes,
            "fetched": latents.fetched_bytes,
            "denoise_decode": latents.nbytes,
        }
        self.handed_over = {name: self.handed_over.get(name, 0) + count for name, count in passed.items()}


@dataclass(frozen=True)
class MadePart:
    """What the stages made of a part."""

    encoded: EncodedMessage
    latents: LatentsMessage
    file: DecodedFile


@dataclass(frozen=True)
class GenerationOutcome:
    """The result of a generation.

    Attributes:
        file: its file.
        parts: what the stages know of each of its parts.
        timings: what it took.
        upsampled: its prompt, if a Reasoner wrote it.
        checks: what guardrails said of its texts.
    """

    file: DecodedFile
    parts: tuple[MadePart, ...]
    timings: Timings
    upsampled: UpsampledPrompt | None = None
    checks: tuple[GuardrailCheck, ...] = ()

    @property
    def all_checks(self) -> tuple[GuardrailCheck, ...]:
        """What guardrails said of its texts and its frames."""
        return merged([*self.checks, *(check for part in self.parts for check in part.file.checks)])

    @property
    def encoded(self) -> EncodedMessage:
        """What the Encoder made of the first part."""
        return self.parts[0].encoded

    @property
    def latents_sha256(self) -> dict[str, str]:
        """Hash of the latents per modality."""
        return joined_sha256([part.latents.sha256 for part in self.parts])

    @property
    def steps(self) -> int:
        """Steps that were made."""
        return sum(part.latents.steps for part in self.parts)

    @property
    def peak_memory_bytes(self) -> int:
        """The most that a rank has held."""
        return max(part.latents.peak_memory_bytes for part in self.parts)

    def manifest(
        self, call: GenerationCall, *, tries: int, created_at: float, guardrails: GuardrailRecord | None = None
    ) -> Manifest:
        """The record of the generation.

        Args:
            call: the request as the client made it.
            tries: how often it was started.
            created_at: when it was requested, in Unix seconds.
            guardrails: what they said of it.
        """
        wrote = self.upsampled
        upsampled = None if wrote is None else Upsampled(prompt=wrote.prompt, template_sha256=wrote.template_sha256)
        return Manifest.of(
            fields=call.fields,
            encode=self.encoded.facts,
            denoise=self.parts[-1].latents.facts,
            latents_sha256=self.latents_sha256,
            stage_seconds=self.timings.seconds,
            created_at=created_at,
            job_id=call.job_id,
            tries=tries,
            upsampled=upsampled,
            guardrails=guardrails,
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
    upsampled: UpsampledPrompt | None = None,
    guardrails: JobGuardrails | None = None,
    wrote: Callable[[str], None] = lambda _: None,
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
        upsampled: the prompt that an earlier try got from the Reasoner, which is not asked again.
        guardrails: what was said of the texts, and whose guardrails check the rest; None checks nothing.
        wrote: called with the URI of each part's file before it is written, where there are several.

    Raises:
        ContentBlocked: a guardrail blocks the prompt that the Reasoner wrote, or the frames.
        GuardrailsUnavailable: the guardrails cannot be asked.
        RequestError: a stage refuses the request.
        UpsamplingFailed: the Reasoner wrote no prompt.
        RayActorError, ObjectLostError, HandoffLost: a process died; the generation may be run again (`is_repeatable`).
    """
    timings = Timings()
    checks = () if guardrails is None else guardrails.checks
    # Before anything is reported: a job that waits for guardrails comes here again and again.
    await _frames_checked_by(guardrails)
    if call.upsample is not None:
        upsampled, said = await _upsampled(stages.model, call.job_id, call.upsample, upsampled, guardrails, report)
        checks += said
        timings.seconds["upsample"] = upsampled.seconds
        call = call.with_prompt(upsampled.prompt)
    made: list[MadePart] = []
    while True:
        index = len(made)
        tail = made[-1].file.tail if made else None
        async with _stage("encode", timings, report):
            encoded: EncodedMessage = await answer_of(stages.encoder.encode.remote(call, index, tail))
        several = len(encoded.parts) > 1
        last = index + 1 == len(encoded.parts)
        async with _stage("denoise", timings, report):
            denoise = DenoiseCall(
                job_id=call.job_id,
                # A preview would show what no guardrail has seen.
                message=encoded if guardrails is None else replace(encoded, preview=None),
                service_class=service_class,
                snapshot=None if snapshot is None else _of_part(snapshot, encoded),
                resume=resume,
                attempt=attempt,
                caller=this_actor(),
                keep=not last,
            )
            latents = await _denoise(stages.generator, denoise, _counting_parts(report, encoded))
        # Here, because whoever waited for them in the Decoder would keep others from decoding.
        checked_by = await _frames_checked_by(guardrails)
        decode = DecodeCall(
            job_id=call.job_id,
            latents=latents,
            clip=encoded.clip,
            target=_of_part(output.target, encoded),
            format=output.format,
            quality=output.quality,
            soundtrack=call.media.get("sound"),
            guardrails=checked_by,
        )
        if several:
            wrote(decode.target)
        async with _stage("decode", timings, report):
            file: DecodedFile = await answer_of(stages.decoder.decode.remote(decode))
            made.append(MadePart(encoded, latents, await _with_own_tail(file)))
            if several and last:
                parts = tuple(one.file.uri for one in made)
                whole = await answer_of(stages.decoder.join.remote(JoinCall(call.job_id, parts, output.target)))
                file = replace(whole, action=_joined_action([one.file for one in made]))
        timings.hand_over(encoded, latents)
        if last:
            return GenerationOutcome(file, tuple(made), timings, upsampled, checks)


async def _upsampled(
    model: Any,
    job_id: str,
    call: UpsampleCall,
    earlier: UpsampledPrompt | None,
    guardrails: JobGuardrails | None,
    report: Report,
) -> tuple[UpsampledPrompt, tuple[GuardrailCheck, ...]]:
    """The prompt that the Reasoner writes; it is checked, then reported, and so kept and shown, before it is used.

    One that an earlier try got is checked again.
    """
    if earlier is not None:
        return earlier, await _checked(guardrails, job_id, earlier)
    await report(Started("upsample"))
    started = time.perf_counter()
    found: UpsampledPrompt = await answer_of(model.upsample.remote(job_id, call))
    found = replace(found, seconds=time.perf_counter() - started)
    said = await _checked(guardrails, job_id, found)
    await report(found)
    await report(Finished("upsample", found.seconds))
    return found, said


async def _frames_checked_by(guardrails: JobGuardrails | None) -> str | None:
    """The application whose guardrails look at frames, once it runs; None where none do.

    Raises:
        GuardrailsUnavailable: it does not run now.
    """
    if guardrails is None or not await GuardrailsClient(guardrails.application).look_at_frames():
        return None
    return guardrails.application


async def _checked(
    guardrails: JobGuardrails | None, job_id: str, prompt: UpsampledPrompt
) -> tuple[GuardrailCheck, ...]:
    if guardrails is None:
        return ()
    return await GuardrailsClient(guardrails.application).check_texts(job_id, {UPSAMPLED: prompt.prompt})


def _of_part(uri: str, encoded: EncodedMessage) -> str:
    """The URI of a file of a part; that of the whole where there is only one."""
    stem, dot, suffix = uri.rpartition(".")
    return uri if len(encoded.parts) == 1 else f"{stem}.{encoded.part}{dot}{suffix}"


def _counting_parts(report: Report, encoded: EncodedMessage) -> Report:
    """Reports a part's steps among those of all parts."""

    async def counted(event: Event | Preview | UpsampledPrompt) -> None:
        await report(event.within(encoded.part, len(encoded.parts)) if isinstance(event, Step) else event)

    return counted


async def _with_own_tail(file: DecodedFile) -> DecodedFile:
    """A part's file with its last frames in this process: the Decoder that made them may be scaled down."""
    if file.tail is None:
        return file
    return replace(file, tail=replace(file.tail, reference=ray.put(await file.tail.reference)))


def _joined_action(files: Sequence[DecodedFile]) -> dict[str, Any] | None:
    """The actions of all parts, one after the other."""
    actions = [file.action for file in files if file.action is not None]
    if not actions:
        return None
    rows = _joined_rows(actions)
    whole = actions[0] | {"data": rows, "shape": [len(rows), *actions[0]["shape"][1:]]}
    if "physical" in whole:
        whole["physical"] = whole["physical"] | {"data": _joined_rows([action["physical"] for action in actions])}
    return whole


def _joined_rows(parts: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    return [row for part in parts for row in part["data"]]


@asynccontextmanager
async def _stage(name: StageName, timings: Timings, report: Report) -> AsyncIterator[None]:
    await report(Started(name))
    started = time.perf_counter()
    yield
    spent = time.perf_counter() - started
    timings.seconds[name] = timings.seconds.get(name, 0.0) + spent
    await report(Finished(name, spent))


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
