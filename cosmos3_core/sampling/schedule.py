"""Noise levels and network timesteps of a request, in every variant that checkpoints ship (spec 5.3, 5.5, 5.6).

A schedule is plain numbers; the solver (`solver`) and the network know nothing about how it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

TRAIN_STEPS = 1000


class ScheduleKind(StrEnum):
    """How the noise levels are spaced.

    `flow`: the framework's and vLLM-Omni's, 0.999 to 0 shifted (spec 5.3). `linspace`: diffusers with
    `use_karras_sigmas=False`. `karras`: diffusers with the shipped Nano/Super scheduler config. `fixed`: the list a
    distilled checkpoint was trained on.
    """

    FLOW = "flow"
    LINSPACE = "linspace"
    KARRAS = "karras"
    FIXED = "fixed"


@dataclass(frozen=True)
class Schedule:
    """Noise levels of one request.

    Attributes:
        sigmas: N + 1 values rounded to fp32, the last one 0.
        timesteps: N values for the network's time embedding, `1000 sigma` (whole numbers except for `fixed`).
        kind, shift: how they were made; the shift is None where the kind has none.
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]
    kind: ScheduleKind
    shift: float | None = None

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.timesteps)


def _schedule(sigmas: NDArray[np.float64], kind: ScheduleKind, shift: float | None = None) -> Schedule:
    rounded = np.append(sigmas, 0.0).astype(np.float32)
    return Schedule(
        sigmas=tuple(float(s) for s in rounded),
        timesteps=tuple(float(int(s * TRAIN_STEPS)) for s in sigmas),
        kind=kind,
        shift=shift,
    )


def _shifted(sigmas: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    return np.asarray(shift * sigmas / (1 + (shift - 1) * sigmas))


def flow(steps: int, shift: float) -> Schedule:
    """Flow-UniPC spacing: `linspace(1 - 1/1000, 0)` without its end, shifted (spec 5.3)."""
    return _schedule(_shifted(np.linspace(1 - 1 / TRAIN_STEPS, 0, steps + 1)[:-1], shift), ScheduleKind.FLOW, shift)


def linspace(steps: int, shift: float) -> Schedule:
    """diffusers' flow spacing: `linspace(1, 1/1000)` without its end, shifted, kept below 1 (spec 5.5)."""
    sigmas = _shifted(np.linspace(1, 1 / TRAIN_STEPS, steps + 1)[:-1], shift)
    if abs(sigmas[0] - 1) < 1e-6:
        sigmas[0] -= 1e-6
    return _schedule(sigmas, ScheduleKind.LINSPACE, shift)


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Schedule:
    """Karras spacing between two variance-exploding levels, mapped by `s / (1 + s)` (arXiv 2206.00364, eq. 5)."""
    ramp = np.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    levels = (high + ramp * (low - high)) ** rho
    return _schedule(np.asarray(levels / (levels + 1)), ScheduleKind.KARRAS)


def fixed(levels: Sequence[float]) -> Schedule:
    """The exact levels of a distilled checkpoint, `fixed_step_sampler_config.t_list` (spec 5.6)."""
    sigmas = np.append(np.asarray(levels, dtype=np.float64), 0.0).astype(np.float32)
    values = tuple(float(s) for s in sigmas)
    return Schedule(values, tuple(TRAIN_STEPS * s for s in values[:-1]), ScheduleKind.FIXED)
