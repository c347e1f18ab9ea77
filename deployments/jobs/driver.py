"""Drives one claimed job until it ends: runs the flow, records what happens, and tries again when a process has died.

It records as the owner of the job's lease. It stops, and leaves the job as it is, when a record is refused because the
job was deleted or another Jobs replica has claimed it.
"""

from __future__ import annotations

import asyncio
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import chain, repeat
from typing import Any

from ray.serve.exceptions import DeploymentUnavailableError

from cosmos3_core.errors import CosmosError, RequestError
from cosmos3_core.guardrails.record import GuardrailRecord
from cosmos3_core.guardrails.verdict import ContentBlocked
from cosmos3_core.request import Event, Finished, Started, Step
from deployments.jobs.database.connection import AWAY
from deployments.jobs.database.store import Store
from deployments.jobs.flow import GenerationOutcome, OutputFile, generate, is_repeatable
from deployments.jobs.job import CONTENT_POLICY, EventKind, Job, preview_data
from deployments.jobs.webhooks import EventType, event_body
from deployments.logs import log, logs_for
from deployments.redaction import redacted
from deployments.settings.front import FrontSettings
from deployments.wire.calls import GenerationCall, Preview
from deployments.wire.guardrails import GuardrailsUnavailable
from deployments.wire.handles import StageHandles
from deployments.wire.media_store import delete_media
from deployments.wire.service_class import ServiceClass
from deployments.wire.upsampling import UpsampledPrompt, UpsamplingFailed

RETRY_DELAY_S = 1.0
UNAVAILABLE_S = 5.0
# How long a job that no client waits for asks again for a prompt, where the Reasoner is busy or away.
UPSAMPLING_PATIENCE_S = 900.0
DATABASE_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class LeaseLost(Exception):
    """The job was deleted, has ended, or has another owner."""


class Driver:
    """Drives a job.

    Args:
        job: the job as it was claimed; its owner is this claim.
        store: the store that keeps it.
        settings: the settings of the front: the most tries, and how long the job is kept.
        notify: called with the job's id whenever something of it was recorded.
        counts: the counters of Jobs, which are increased here.
    """

    def __init__(
        self, job: Job, store: Store, settings: FrontSettings, notify: Callable[[str], None], counts: dict[str, int]
    ) -> None:
        self.job = job
        self._store = store
        self._settings = settings
        self._notify = notify
        self._counts = counts
        self._reasons = [interruption["reason"] for interruption in job.interruptions]
        self._files: list[str] = []
        self._upsampled = None if job.upsampled is None else UpsampledPrompt(**job.upsampled)

    async def run(self) -> None:
        """Drive the job until it ends or this is cancelled."""
        with logs_for(self.job.id):
            try:
                await self._run_to_end()
            except LeaseLost:
                log.info("no longer driven here: it was deleted, has ended, or another process drives it")
            finally:
                # Shielded: also when this is cancelled.
                await asyncio.shield(asyncio.to_thread(self._remove_unneeded_files))

    async def _run_to_end(self) -> None:
        try:
            await self._generate()
        except LeaseLost:
            raise
        except RequestError as error:
            await self._fail(400, _reason(error))
        except ContentBlocked as error:
            log.warning("failed: %s", error)
            await self._fail(400, _reason(error), type=CONTENT_POLICY)
        except UpsamplingFailed as error:
            log.warning("failed: %s", error)
            await self._fail(503 if error.again else 502, _reason(error))
        except Exception as error:
            log.error("failed: %s", "".join(traceback.format_exception(error)))
            await self._fail(500, _reason(error))

    async def _generate(self) -> None:
        max_tries = self._settings.max_tries
        for attempt in range(self.job.tries + 1, max_tries + 1):
            await self._record("started", {"try": attempt}, tries=attempt)
            try:
                await self._try(attempt)
            except Exception as error:
                if not is_repeatable(error):
                    raise
                await self._interrupted(attempt, _reason(error))
            else:
                return
        reasons = "; ".join(self._reasons)
        await self._fail(500, f"gave up after {max_tries} tries, because processes that worked on it died: {reasons}")

    async def _try(self, attempt: int) -> None:
        job = self.job
        call = GenerationCall(
            job_id=job.id, fields=job.request["fields"], media=job.request["media"], upsample=job.upsample
        )
        # An earlier try, or an earlier owner, may have left a snapshot.
        resume = attempt > 1 or job.started_at is not None
        patience_ends = time.monotonic() + UPSAMPLING_PATIENCE_S
        while True:
            try:
                outcome = await generate(
                    stages=StageHandles.of(job.application, job.decoder),
                    call=call,
                    output=self._output(),
                    report=self._report,
                    service_class=ServiceClass(job.service_class),
                    snapshot=job.snapshot,
                    resume=resume,
                    attempt=attempt,
                    upsampled=self._upsampled,
                    guardrails=job.checked,
                    wrote=self._files.append,
                )
            except (DeploymentUnavailableError, GuardrailsUnavailable) as error:
                # No process has died: a stage did not start, and its operator may still fix that.
                log.warning("a stage is not available: %s", error)
                await self._discard()
                await asyncio.sleep(UNAVAILABLE_S)
                # It may be that only the Decoder is not available, and a snapshot was saved.
                resume = True
            except UpsamplingFailed as error:
                if not error.again or not job.detached or time.monotonic() > patience_ends:
                    raise
                log.warning("no prompt yet: %s", error)
                await asyncio.sleep(UNAVAILABLE_S)
            else:
                await self._complete(call, outcome, attempt)
                return

    def _output(self) -> OutputFile:
        """The file of this attempt, with a unique name, so that no late attempt overwrites the file of another."""
        output = OutputFile(**self.job.request["output"])
        stem, dot, suffix = output.target.rpartition(".")
        target = f"{stem}.{uuid.uuid4().hex[:8]}{dot}{suffix}"
        self._files.append(target)
        return replace(output, target=target)

    async def _discard(self) -> None:
        """Remove at once what the last attempt wrote: nothing of it is used, and this process may die."""
        unneeded, self._files = self._files, []
        for uri in unneeded:
            await asyncio.to_thread(delete_media, uri)

    async def _interrupted(self, attempt: int, reason: str) -> None:
        self._counts["retried"] += 1
        reason = redacted(reason)
        log.warning("try %d of %d ended: %s", attempt, self._settings.max_tries, reason)
        self._reasons.append(reason)
        await self._record("interrupted", {"reason": reason})
        await self._discard()
        if attempt < self._settings.max_tries:
            await asyncio.sleep(RETRY_DELAY_S)

    async def _report(self, event: Event | Preview | UpsampledPrompt) -> None:
        if isinstance(event, Preview):
            await self._record("preview", preview_data(event.step, event.jpeg))
        elif isinstance(event, UpsampledPrompt):
            # Every later try uses the same text.
            await self._record("upsampled", {"prompt": event.prompt}, upsampled=asdict(event))
            self._upsampled = event
        elif isinstance(event, Step):
            # Not before its first step: until then it may have waited at a gang for its turn.
            progress = min(99, 100 * event.index // event.count)
            await self._record("step", asdict(event), status="in_progress", progress=progress)
        elif isinstance(event, Started):
            # A generation that resumes after its last step reports no step before this.
            changes = {"status": "in_progress"} if event.stage == "decode" else {}
            await self._record("stage", {"stage": event.stage, "state": "started"}, **changes)
        elif isinstance(event, Finished):
            await self._record("stage", {"stage": event.stage, "state": "finished", "seconds": event.seconds})

    async def _complete(self, call: GenerationCall, outcome: GenerationOutcome, attempt: int) -> None:
        data = {"seconds": sum(outcome.timings.seconds.values())}
        if self.job.checked is None:
            record = GuardrailRecord(verdict="off" if self.job.guarded == "off" else "skipped")
        else:
            record = GuardrailRecord.of(outcome.all_checks)
        manifest = outcome.manifest(call, tries=attempt, created_at=self.job.created_at, guardrails=record)
        parts = {"guardrails": record, "manifest": manifest}
        result = _result(outcome) | {name: part.model_dump(mode="json") for name, part in parts.items()}
        await self._end("done", data, "video.completed", status="completed", progress=100, result=result)
        self._counts["completed"] += 1

    async def _fail(self, code: int, message: str, **more: str) -> None:
        error = {"code": code, "message": redacted(message), **more}
        await self._end("failed", {"error": error}, "video.failed", status="failed", error=error)
        self._counts["failed"] += 1

    async def _end(self, kind: EventKind, data: dict[str, Any], event_type: EventType, **changes: Any) -> None:
        body = None
        if self.job.webhook is not None:
            body = event_body(self.job.id, event_type, int(time.time())).decode()
        await self._record(kind, data, webhook_body=body, keep_s=self._settings.retention.finished_s, **changes)

    async def _record(self, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        """Record an event, and try again for as long as the database is away.

        Raises:
            LeaseLost: the record was refused.
        """
        pauses = chain(DATABASE_PAUSES_S, repeat(DATABASE_PAUSES_S[-1]))
        for pause in pauses:
            try:
                recorded = await asyncio.to_thread(
                    lambda: self._store.record(self.job.id, kind, data, owner=self.job.owner, **changes)
                )
            except AWAY as error:
                log.warning("the database is away: %s", type(error).__name__)
                await asyncio.sleep(pause)
                continue
            if recorded is None:
                raise LeaseLost
            self._notify(self.job.id)
            return

    def _remove_unneeded_files(self) -> None:
        """Remove attempts' files that are not the result, and the working media if the job has ended or is gone."""
        now = self._store.get(self.job.id)
        kept = None if now is None or now.result is None else now.result["uri"]
        unneeded = [uri for uri in self._files if uri != kept]
        if now is None or now.final:
            unneeded += self.job.working_media()
        for uri in unneeded:
            delete_media(uri)


def _result(outcome: GenerationOutcome) -> dict[str, Any]:
    clip, file = outcome.encoded.clip, outcome.file
    return {
        "uri": file.uri,
        "bytes": file.nbytes,
        "width": clip.width,
        "height": clip.height,
        "num_frames": file.num_frames,
        "fps": clip.fps,
        "steps": outcome.steps,
        "seed": outcome.encoded.sampling.seed,
        "action": file.action,
        "latents_sha256": outcome.latents_sha256,
        "stage_seconds": outcome.timings.seconds,
        "handed_over_bytes": outcome.timings.handed_over,
        "peak_memory_bytes": outcome.peak_memory_bytes,
    }


def _reason(error: BaseException) -> str:
    """An error in one line, without the tracebacks that Ray adds to errors of other processes."""
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause
    if isinstance(error, CosmosError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
