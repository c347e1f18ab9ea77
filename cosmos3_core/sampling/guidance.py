"""Classifier-free guidance: when the second branch runs, and how two velocities become one (spec 5.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos3_core.model.sequence import Latents


@dataclass(frozen=True)
class Guidance:
    """Guidance of one request.

    Attributes:
        scale: 1 means no guidance.
        interval: timesteps in 0..1000 between which guidance is applied; None means everywhere.
        inclusive: whether the interval's ends belong to it (vLLM-Omni) or not (the framework).
        only_above_one: whether a scale below 1 switches guidance off (vLLM-Omni) or is used (diffusers).
    """

    scale: float
    interval: tuple[float, float] | None = None
    inclusive: bool = True
    only_above_one: bool = False

    @property
    def enabled(self) -> bool:
        """Whether any step may need the unconditional branch."""
        return self.scale > 1 if self.only_above_one else self.scale != 1

    def active(self, timestep: float) -> bool:
        """Whether the unconditional branch runs at this timestep."""
        if not self.enabled or self.interval is None:
            return self.enabled
        low, high = self.interval
        return low <= timestep <= high if self.inclusive else low < timestep < high


def combine(conditional: Latents, unconditional: Latents, guidance: Guidance) -> Latents:
    """`v_u + g (v_c - v_u)` in fp32, with the same scale g for every modality."""
    return {name: unconditional[name] + guidance.scale * (v - unconditional[name]) for name, v in conditional.items()}
