"""Brings one claimed job to its end: runs the flow, records what happens, tries again where a process died under it.

It records as the owner of the job's lease. What it may no longer record, because the job was deleted or another Jobs
replica has taken it over, ends it without a trace.
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
from cosmos3_core.request import Event, Finished, Started, Step
from deployments.jobs.database.connection import AWAY
from deployments.jobs.database.store import Store
from deployments.jobs.flow import GenerationOutcome, Output, generate, is_repeatable
from deployments.jobs.job import EventKind, Job
from deployments.jobs.preview_events import preview_data
from deployments.jobs.webhooks import EventType, event_body
from deployments.logs import log, logs_for
from deployments.redaction import without_paths
from deployments.settings import FrontSettings
from deployments.wire.calls import GenerationCall, Preview
from deployments.wire.handles import StageHandles
from deployments.wire.media_store import delete_media
from deployments.wire.service_class import ServiceClass

RETRY_DELAY_S = 1.0
UNAVAILABLE_S = 5.0
DATABASE_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class LeaseLost(Exception):
    """The job is gone, over, or somebody else's."""


class Driver:
    """Drives a job.

    Args:
        job: as it was claimed; its owner is this claim.
        store: where it is kept.
        settings: bounds on tries, retention.
        tell: is called with the job's id whenever there is news of it.
        counts: counters to add to.
    """

    def __init__(
        self, job: Job, store: Store, settings: FrontSettings, tell: Callable[[str], None], counts: dict[str, int]
    ) -> None:
        self.job = job
        self._store = store
        self._settings = settings
        self._tell = tell
        self._counts = counts
        self._deaths = [death["reason"] for death in job.deaths]
        self._files: list[str] = []

    async def run(self) -> None:
        """Drive the job to its end, or until this is cancelled."""
        with logs_for(self.job.id):
            try:
                await self._to_its_end()
            except LeaseLost:
                log.info("left alone: it is gone, or driven by somebody else")
            finally:
                # Also of one that is being cancelled.
                await asyncio.shield(asyncio.to_thread(self._tidy))

    async def _to_its_end(self) -> None:
        try:
            await self._generate()
        except LeaseLost:
            raise
        except RequestError as error:
            await self._fail(400, _reason(error))
        except Exception as error:
            log.error("failed: %s", "".join(traceback.format_exception(error)))
            await self._fail(500, _reason(error))

    async def _generate(self) -> None:
        most = self._settings.max_tries
        for attempt in range(self.job.tries + 1, most + 1):
            await self._record("started", {"try": attempt}, tries=attempt)
            try:
                await self._try(attempt)
            except Exception as error:
                if not is_repeatable(error):
                    raise
                await self._interrupted(attempt, _reason(error))
            else:
                return
        reasons = "; ".join(self._deaths)
        await self._fail(500, f"gave up after {most} tries, because processes died under it: {reasons}")

    async def _try(self, attempt: int) -> None:
        job = self.job
        call = GenerationCall(job.id, job.request["fields"], job.request["media"])
        # Whoever drove it before may have left a snapshot.
        resume = attempt > 1 or job.started_at is not None
        while True:
            try:
                outcome = await generate(
                    *(StageHandles.of(job.application, job.decoder), call, self._output(), self._report),
                    service_class=ServiceClass(job.service_class),
                    snapshot=job.snapshot,
                    resume=resume,
                    attempt=attempt,
                )
            except DeploymentUnavailableError as error:
                # Nothing has died: a stage does not come up, and may when its operator has looked after it.
                log.warning("a stage is not available: %s", error)
                await asyncio.sleep(UNAVAILABLE_S)
                # It may have been denoised, and only the Decoder was missing.
                resume = True
            else:
                await self._complete(call, outcome, attempt)
                return

    def _output(self) -> Output:
        """Where this attempt's file goes: a name of its own, so that no late attempt touches what another has made."""
        output = Output(**self.job.request["output"])
        stem, dot, suffix = output.target.rpartition(".")
        target = f"{stem}.{uuid.uuid4().hex[:8]}{dot}{suffix}"
        self._files.append(target)
        return replace(output, target=target)

    async def _interrupted(self, attempt: int, reason: str) -> None:
        self._counts["retried"] += 1
        reason = without_paths(reason)
        log.warning("try %d of %d ended: %s", attempt, self._settings.max_tries, reason)
        self._deaths.append(reason)
        await self._record("interrupted", {"reason": reason})
        if attempt < self._settings.max_tries:
            await asyncio.sleep(RETRY_DELAY_S)

    async def _report(self, event: Event | Preview) -> None:
        if isinstance(event, Preview):
            await self._record("preview", preview_data(event))
        elif isinstance(event, Step):
            # Not before: until then it may have waited at a gang for its turn.
            progress = min(99, 100 * event.index // event.count)
            await self._record("step", asdict(event), status="in_progress", progress=progress)
        elif isinstance(event, Started):
            begun = {"status": "in_progress"} if event.stage == "decode" else {}
            await self._record("stage", {"stage": event.stage, "state": "started"}, **begun)
        elif isinstance(event, Finished):
            await self._record("stage", {"stage": event.stage, "state": "finished", "seconds": event.seconds})

    async def _complete(self, call: GenerationCall, outcome: GenerationOutcome, attempt: int) -> None:
        shown = {"seconds": sum(outcome.timings.seconds.values())}
        manifest = outcome.manifest(call, tries=attempt, created_at=self.job.created_at)
        result = _result(outcome) | {"manifest": manifest.model_dump(mode="json")}
        await self._end("done", shown, "video.completed", status="completed", progress=100, result=result)
        self._counts["completed"] += 1

    async def _fail(self, code: int, message: str) -> None:
        error = {"code": code, "message": without_paths(message)}
        await self._end("failed", {"error": error}, "video.failed", status="failed", error=error)
        self._counts["failed"] += 1

    async def _end(self, kind: EventKind, data: dict[str, Any], told: EventType, **changes: Any) -> None:
        body = None
        if self.job.webhook is not None:
            body = event_body(self.job.id, told, int(time.time())).decode()
        await self._record(kind, data, webhook_body=body, keep_s=self._settings.retention.finished_s, **changes)

    async def _record(self, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        """Record something, for as long as that takes: a database that is away fails no job.

        Raises:
            LeaseLost: it is not taken from this driver any more.
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
            self._tell(self.job.id)
            return

    def _tidy(self) -> None:
        """Remove the files that nobody needs any more.

        Of a job that is gone all, of one that is over what it worked with, and in any case what came of attempts that
        did not become its result.
        """
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
        "steps": outcome.latents.steps,
        "seed": outcome.encoded.seed,
        "action": file.action,
        "latents_sha256": outcome.latents.sha256,
        "stage_seconds": outcome.timings.seconds,
        "handed_over_bytes": outcome.timings.handed_over,
        "peak_memory_bytes": outcome.latents.peak_memory_bytes,
    }


def _reason(error: BaseException) -> str:
    """What went wrong, without the tracebacks of other processes that Ray wraps around it."""
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause
    if isinstance(error, CosmosError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
