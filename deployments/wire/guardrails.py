"""How the guardrails are asked, and what a job keeps of their verdicts. No failure is ever taken for a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from cosmos3_core.errors import CosmosError
from cosmos3_core.guardrails.record import GuardrailCheck, Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked, Frames
from deployments.logs import log
from deployments.wire.handles import answer_of, handle_of

DEPLOYMENT = "Guardrails"
# A chunk of frames may take long on a CPU, and longer behind others.
PATIENCE_S = 300.0
# Guardrails that run say so at once, even while they look at frames.
PRESENCE_S = 10.0
RETRY_PAUSE_S = 0.5


class GuardrailsUnavailable(CosmosError):
    """The guardrails cannot be asked now; the same request may succeed later."""


@dataclass(frozen=True)
class CheckedChunk:
    """What is said of some frames.

    Attributes:
        checks: by each guardrail that was asked.
        frames: the frames to show where they were changed, uint8 `[frames, height, width, 3]`.
    """

    checks: tuple[GuardrailCheck, ...]
    frames: Frames | None = None


@dataclass(frozen=True)
class JobGuardrails:
    """What a job that is checked carries; as JSON it is part of its request.

    Attributes:
        application: the application whose guardrails check the rest of it.
        checks: what was said of its texts before it became a job.
    """

    application: str
    checks: tuple[GuardrailCheck, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The value as JSON."""
        return {"application": self.application, "checks": [check.model_dump(mode="json") for check in self.checks]}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> JobGuardrails:
        """The value of `to_json`."""
        return cls(kept["application"], tuple(GuardrailCheck.model_validate(check) for check in kept["checks"]))


class GuardrailsClient:
    """The guardrails of an application behind their handle.

    Every method raises GuardrailsUnavailable if they cannot be asked, and ContentBlocked if one of them blocks.
    """

    def __init__(self, application: str, patience_s: float = PATIENCE_S) -> None:
        self._application = application
        self._handle = handle_of(DEPLOYMENT, application)
        self._patience_s = patience_s

    async def check_texts(self, request_id: str, texts: Mapping[str, str]) -> tuple[GuardrailCheck, ...]:
        """What is said of texts by the names of their fields."""
        checks: tuple[GuardrailCheck, ...] = await self._ask(
            lambda: self._handle.check_texts.remote(request_id, dict(texts))
        )
        return _unblocked(checks)

    async def look_at_frames(self) -> bool:
        """Whether there is any guardrail of frames. It waits shortly, so it also tells whether they can be asked."""
        presence_s = min(PRESENCE_S, self._patience_s)
        return bool(await self._ask(lambda: self._handle.look_at_frames.remote(), presence_s))

    async def check_frames(self, job_id: str, frames: Frames) -> CheckedChunk:
        """What is said of frames, uint8 `[frames, height, width, 3]`.

        A caller holds a place in the Decoder meanwhile, so it waits long only for guardrails that still run.
        """
        asked = asyncio.ensure_future(self._ask(lambda: self._handle.check_frames.remote(job_id, frames)))
        try:
            while not (await asyncio.wait({asked}, timeout=PRESENCE_S))[0]:
                await self.look_at_frames()
            chunk: CheckedChunk = asked.result()
        finally:
            asked.cancel()
        _unblocked(chunk.checks)
        return chunk

    async def _ask(self, call: Callable[[], Any], patience_s: float | None = None) -> Any:
        patience_s = self._patience_s if patience_s is None else patience_s
        try:
            async with asyncio.timeout(patience_s):
                return await self._answer(call)
        except TimeoutError:
            raise self._unavailable(f"did not answer within {patience_s:g} s") from None

    async def _answer(self, call: Callable[[], Any]) -> Any:
        started = time.monotonic()
        while True:
            try:
                return await answer_of(call())
            except RayActorError as error:
                # Serve replaces the replica, and the handle waits for the new one.
                log.warning("the guardrails died after %.1f s: %s", time.monotonic() - started, type(error).__name__)
                await asyncio.sleep(RETRY_PAUSE_S)
            except (BackPressureError, DeploymentUnavailableError) as error:
                raise self._unavailable("are busy or did not start") from error

    def _unavailable(self, reason: str) -> GuardrailsUnavailable:
        return GuardrailsUnavailable(f"the guardrails of application {self._application} {reason}")


def _unblocked(checks: tuple[GuardrailCheck, ...]) -> tuple[GuardrailCheck, ...]:
    for check in checks:
        if check.outcome is Outcome.BLOCKED:
            raise ContentBlocked(check)
    return checks
