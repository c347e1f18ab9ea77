"""A call on a gang from its arrival to its end, as the gang's leader knows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.request import Step
from deployments.generator.scheduler import Task
from deployments.wire.calls import DenoiseCall, Preview
from deployments.wire.messages import LatentsMessage

Update = Step | Preview | LatentsMessage


@dataclass
class Request:
    """The scheduler's task, and what the scheduler need not know.

    Attributes:
        task: its numbers.
        call: what shall be denoised.
        geometry: of its steps.
        cost: estimates of its steps; it says over which ranks they are spread.
        updates: what its listener will read; None ends that.
        fetched_bytes: what crossed to the ranks for it.
        saved_at, shown_at: when it was last saved and shown.
        background: the snapshot or preview under way.
        steps_after_cancel: steps that ended after the leader had heard of the cancel; at most the one under way.
    """

    task: Task
    call: DenoiseCall
    geometry: StepShape
    cost: CostModel
    saved_at: float
    updates: asyncio.Queue[Update | BaseException | None] = field(default_factory=asyncio.Queue)
    fetched_bytes: int = 0
    shown_at: float = 0.0
    background: asyncio.Task[None] | None = None
    steps_after_cancel: int = 0

    @property
    def busy(self) -> bool:
        """Whether a snapshot or a preview of it is under way."""
        return self.background is not None and not self.background.done()
