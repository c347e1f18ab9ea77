"""Brings one claimed job to its end: runs the flow, records what happens, tries again where a process died under it.

It records as the owner of the job's lease. What it may no longer record, because the job was deleted or another Jobs
replica has taken it over, ends it without a trace.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cosmos3_core.errors import CosmosError, RequestError
from cosmos3_core.request import Event, Finished, Started, Step
from deployments.calls import GenerationCall, Preview
from deployments.flow import GenerationOutcome, Output, generate, is_repeatable
from deployments.job import Death, EventKind, Job
from deployments.logs import log, logs_for
from deployments.manifest import manifest_of
from deployments.media_store import delete_media
from deployments.previews import preview_data
from deployments.redaction import without_paths
from deployments.scheduler import ServiceClass
from deployments.settings import FrontSettings
from deployments.stages import Stages
from deployments.store import Store
from deployments.webhooks import EventType, event_body

RETRY_DELAY_S = 1.0


class LeaseLost(Exception):
    """The job is gone, over, or somebody else's."""


class Driver:
    """Drives a job.

    Args:
        job: as it was claimed.
        owner: who claimed it.
        store: where it is kept.
        settings: bounds on tries, retention.
        tell: is called with the job's id whenever there is news of it.
        counts: counters to add to.
    """

    def __init__(
        self,
        job: Job,
        owner: str,
        store: Store,
        settings: FrontSettings,
        tell: Callable[[str], None],
        counts: dict[str, int],
    ) -> None:
        self.job = job
        self.owner = owner
        self._store = store
        self._settings = settings
        self._tell = tell
        self._counts = counts
        self._deaths: list[Death] = list(job.deaths)

    async def run(self) -> None:
        """Drive the job to its end, or until this is cancelled."""
        with logs_for(self.job.id):
            try:
                await self._generate()
            except LeaseLost:
                log.info("left alone: it is gone, or driven by somebody else")
            except RequestError as error:
                await self._fail(400, _reason(error))
            except Exception as error:
                log.error("failed: %s", "".join(traceback.format_exception(error)))
                await self._fail(500, _reason(error))
            finally:
                # Also of one that is being cancelled.
                await asyncio.shield(asyncio.to_thread(self._tidy))

    async def _generate(self) -> None:
        job, most = self.job, self._settings.max_tries
        call = GenerationCall(job.id, job.request["fields"], job.request["media"])
        for attempt in range(job.tries + 1, most + 1):
            await self._record(
                "started",
                {"try": attempt},
                status="in_progress",
                started_at=job.started_at or time.time(),
                tries=attempt,
            )
            try:
                outcome = await generate(
                    *(Stages.of(job.application, job.decoder), call, Output(**job.request["output"]), self._report),
                    service_class=ServiceClass(job.service_class),
                    snapshot=job.snapshot,
                    # Whoever drove it before may have left one.
                    resume=attempt > 1 or job.started_at is not None,
                )
            except Exception as error:
                if not is_repeatable(error):
                    raise
                await self._interrupted(attempt, _reason(error))
            else:
                await self._complete(call, outcome, attempt)
                return
        deaths = "; ".join(f"try {death['attempt']}: {death['reason']}" for death in self._deaths)
        await self._fail(500, f"gave up after {most} tries, because processes died under it: {deaths}")

    async def _interrupted(self, attempt: int, reason: str) -> None:
        self._counts["retried"] += 1
        log.warning("try %d of %d ended: %s", attempt, self._settings.max_tries, reason)
        death = Death(attempt=attempt, at=time.time(), reason=without_paths(reason))
        self._deaths.append(death)
        await self._record("interrupted", dict(death), deaths=list(self._deaths))
        if attempt < self._settings.max_tries:
            await asyncio.sleep(RETRY_DELAY_S)

    async def _report(self, event: Event | Preview) -> None:
        if isinstance(event, Preview):
            await self._record("preview", preview_data(event))
        elif isinstance(event, Step):
            await self._record("step", asdict(event), progress=min(99, 100 * event.index // event.count))
        elif isinstance(event, Started):
            await self._record("stage", {"stage": event.stage, "state": "started"})
        elif isinstance(event, Finished):
            await self._record("stage", {"stage": event.stage, "state": "finished", "seconds": event.seconds})

    async def _complete(self, call: GenerationCall, outcome: GenerationOutcome, attempt: int) -> None:
        shown = {"seconds": sum(outcome.timings.seconds.values())}
        manifest = manifest_of(call, outcome, tries=attempt, created_at=self.job.created_at)
        result = _result(outcome) | {"manifest": manifest.model_dump(mode="json")}
        await self._end("done", shown, status="completed", progress=100, result=result)
        self._counts["completed"] += 1

    async def _fail(self, code: int, message: str) -> None:
        error = {"code": code, "message": without_paths(message)}
        try:
            await self._end("failed", {"error": error}, status="failed", error=error)
        except LeaseLost:
            return
        self._counts["failed"] += 1

    async def _end(self, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        now, keep = time.time(), self._settings.retention.finished_s
        if self.job.detached and keep is not None:
            changes["expires_at"] = now + keep
        body = None
        if self.job.webhook is not None:
            ending: EventType = "video.completed" if kind == "done" else "video.failed"
            body = event_body(self.job.id, ending, int(now)).decode()
        await self._record(kind, data, webhook_body=body, completed_at=now, **changes)

    async def _record(self, kind: EventKind, data: dict[str, Any], **changes: Any) -> None:
        recorded = await asyncio.to_thread(
            lambda: self._store.record(self.job.id, kind, data, owner=self.owner, **changes)
        )
        if recorded is None:
            raise LeaseLost
        self._tell(self.job.id)

    def _tidy(self) -> None:
        """Remove the files that nobody needs any more: some of a job that is over, all of one that is gone."""
        now = self._store.get(self.job.id)
        if now is None or now.final:
            for uri in self.job.media() if now is None else self.job.working_media():
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
