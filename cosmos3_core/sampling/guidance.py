"""Classifier-free guidance: which branches a step computes, and how their velocities become one (spec 5.7, 9.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos3_core.model.sequence import Latents


Interval = tuple[float, float]
"""Timesteps in 0..1000 between which a guidance is applied."""


class Branch(StrEnum):
    """One of the forward passes that a guided step is made of."""

    CONDITIONAL = "conditional"
    UNCONDITIONAL = "unconditional"
    """The negative text instead of the prompt."""
    UNCONTROLLED = "uncontrolled"
    """The prompt, without the controls."""


@dataclass(frozen=True)
class Guidance:
    """Guidance of one request.

    Attributes:
        scale: of the text; 1 means no guidance.
        interval: where the text guides; None means everywhere.
        inclusive: whether the ends of an interval belong to it (vLLM-Omni) or not (the framework).
        only_above_one: whether a scale below 1 switches text guidance off (vLLM-Omni) or is used (diffusers).
        control_scale: of the controls of transfer; 1 means no guidance.
        control_interval: where the controls guide; None means everywhere.
    """

    scale: float
    interval: Interval | None = None
    inclusive: bool = True
    only_above_one: bool = False
    control_scale: float = 1.0
    control_interval: Interval | None = None

    @property
    def enabled(self) -> bool:
        """Whether any step may need the unconditional branch."""
        return self.scale > 1 if self.only_above_one else self.scale != 1

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that any step may need; the ranks of a gang share them in this order."""
        others = {Branch.UNCONDITIONAL: self.enabled, Branch.UNCONTROLLED: self.control_scale != 1}
        return (Branch.CONDITIONAL, *(branch for branch, needed in others.items() if needed))

    def active(self, timestep: float) -> tuple[Branch, ...]:
        """The branches that a step at this timestep needs."""
        intervals = {Branch.UNCONDITIONAL: self.interval, Branch.UNCONTROLLED: self.control_interval}
        return tuple(branch for branch in self.branches if self._within(intervals.get(branch), timestep))

    def _within(self, interval: Interval | None, timestep: float) -> bool:
        if interval is None:
            return True
        low, high = interval
        return low <= timestep <= high if self.inclusive else low < timestep < high


def combine(velocities: Mapping[Branch, Latents], guidance: Guidance) -> Latents:
    """The guided velocity of a step, in fp32, with the same scales for every modality.

    With v_full of the conditional branch, v_nc of the uncontrolled and v_u of the unconditional one:
    `v_c = v_nc + c (v_full - v_nc)` and `v = v_u + g (v_c - v_u)`; a branch that is missing leaves its line out.
    """
    guided = velocities[Branch.CONDITIONAL]
    for branch, scale in ((Branch.UNCONTROLLED, guidance.control_scale), (Branch.UNCONDITIONAL, guidance.scale)):
        base = velocities.get(branch)
        if base is not None:
            guided = {name: base[name] + scale * (v - base[name]) for name, v in guided.items()}
    return guided
