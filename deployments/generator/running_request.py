"""A request to a gang, from its arrival to its end, as the gang's leader knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.request import Step
from deployments.background import in_background
from deployments.generator.scheduler import Task
from deployments.logs import log, logs_for
from deployments.wire.calls import DenoiseCall, Preview
from deployments.wire.messages import LatentsMessage

Update = Step | Preview | LatentsMessage


@dataclass
class RunningRequest:
    """A scheduler's task, and what the scheduler need not know about it.

    Attributes:
        task: the request as the scheduler sees it.
        call: the call that asks for it.
        shape: the shape of its steps.
        cost: the estimates of its steps; it also says over which ranks they are spread.
        updates: what its listener reads; None ends the stream.
        fetched_bytes: what the ranks fetched for it.
        saved_at, shown_at: when it was last saved and last shown.
        background: the snapshot or preview that is being made.
        steps_after_cancel: steps that ended after the leader learned of the cancel; at most the one that ran then.
    """

    task: Task
    call: DenoiseCall
    shape: StepShape
    cost: CostModel
    saved_at: float
    updates: asyncio.Queue[Update | BaseException | None] = field(default_factory=asyncio.Queue)
    fetched_bytes: int = 0
    shown_at: float = 0.0
    background: asyncio.Task[None] | None = None
    steps_after_cancel: int = 0

    @property
    def busy(self) -> bool:
        """Whether a snapshot or a preview of it is being made."""
        return self.background is not None and not self.background.done()

    def start_in_background(self, product: str, work: Coroutine[Any, Any, None]) -> None:
        """Start to make a snapshot or a preview; no step waits for it."""
        self.background = in_background(self.try_to_make(product, work))

    async def try_to_make(self, product: str, work: Coroutine[Any, Any, None]) -> None:
        """Make a snapshot or a preview.

        The request goes on without one that fails; the step loop notices a dead rank by itself.
        """
        with logs_for(self.call.job_id):
            try:
                await work
            except Exception:
                log.exception("no %s", product)
