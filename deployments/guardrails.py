"""The guardrails as a deployment of their own. A thin deployment around `cosmos3_core.guardrails`.

The Ingress asks it about the texts of a request, Jobs about a prompt that a Reasoner wrote, the Decoder about frames.
"""

from __future__ import annotations

import threading

from cosmos3_core.guardrails.guardrails import Guardrails as CoreGuardrails
from cosmos3_core.guardrails.record import GuardrailCheck, Outcome
from cosmos3_core.guardrails.verdict import Frames
from deployments.compute import ComputeThread
from deployments.logs import log, logs_for
from deployments.settings.guardrails import GuardrailsSettings
from deployments.wire.guardrails import CheckedChunk
from deployments.wire.replica import Replica


class Guardrails(Replica):
    """Deployment: judges texts and frames, one after another.

    Raises:
        GuardrailError: a guardrail cannot be loaded; Serve shows the message as the deployment's state.
    """

    def __init__(self, settings: GuardrailsSettings) -> None:
        self.compute = ComputeThread(settings)
        self.core = CoreGuardrails.load(settings.folders, self.compute.execution)
        self._texts = self._frames = self._texts_blocked = self._frames_blocked = self._frames_blurred = 0

    async def check_texts(self, request_id: str, texts: dict[str, str]) -> tuple[GuardrailCheck, ...]:
        """What is said of texts by the names of their fields; the last check blocks, or none does."""
        unwanted = threading.Event()
        with logs_for(request_id):
            try:
                checks = await self.compute.run(self.core.check_texts, texts, lambda: not unwanted.is_set())
            finally:
                # When this is cancelled, the thread must not go on with a long text that nobody waits for.
                unwanted.set()
            self._texts += len(texts)
            self._texts_blocked += _blocks(checks)
        return checks

    async def look_at_frames(self) -> bool:
        """Whether there is any guardrail of frames."""
        return bool(self.core.frames)

    async def check_frames(self, job_id: str, frames: Frames) -> CheckedChunk:
        """What is said of frames, uint8 `[frames, height, width, 3]`; the last check blocks, or none does."""
        with logs_for(job_id):
            checks, shown = await self.compute.run(self.core.check_frames, frames)
            changed = shown is not frames
            self._frames += len(frames)
            self._frames_blocked += _blocks(checks) * len(frames)
            self._frames_blurred += changed * len(frames)
        return CheckedChunk(checks, shown if changed else None)

    async def stats(self) -> dict[str, float]:
        """Counters for `/metrics`."""
        return {
            "texts": self._texts,
            "texts_blocked": self._texts_blocked,
            "frames": self._frames,
            "frames_blocked": self._frames_blocked,
            "frames_blurred": self._frames_blurred,
        }


def _blocks(checks: tuple[GuardrailCheck, ...]) -> bool:
    """Whether a check blocks; then it is logged, without the text."""
    found = next((check for check in checks if check.outcome is Outcome.BLOCKED), None)
    if found is not None:
        log.warning("blocked by %s: %s %s", found.guardrail, found.of, found.reason)
    return found is not None
