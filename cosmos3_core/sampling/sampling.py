"""How one request is sampled: every number of the sampler as one value, without torch.

`resolve` makes it, every hop carries it whole, `denoise` reads it, and the manifest shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.schedule import Schedule

SOLVER_ORDER = 2
"""Order of UniPC, and so how many clean predictions it keeps."""
NoiseSource = Literal["torch", "numpy"]
"""Which generator draws the noise; see `sampling.noise`."""

_SEED_SPAN = 2**63


def later_seed(seed: int, number: int) -> int:
    """The seed `number` after another one; after the last 64-bit integer comes the first."""
    return (seed + number + _SEED_SPAN) % (2 * _SEED_SPAN) - _SEED_SPAN


@dataclass(frozen=True)
class Sampling:
    """The sampler's numbers.

    Attributes:
        schedule: the noise levels.
        guidance: when the unconditional branch runs, and how strongly it pushes away.
        seed: the seed of all noise.
        noise: the generator that draws it.
        stochastic: the fixed-step sampler of a distilled checkpoint instead of UniPC.
    """

    schedule: Schedule
    guidance: Guidance
    seed: int
    noise: NoiseSource = "torch"
    stochastic: bool = False

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return self.schedule.steps
