"""UniPC-bh2 of order 2 for a flow model, as one pure function over a small state (spec 5.4, arXiv 2302.04867).

The coefficients are computed in fp32 on the CPU, as in diffusers' `UniPCMultistepScheduler`, which is the oracle of
the tests: near sigma = 1 another precision would change the result in the sixth digit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cosmos3_core.sampling.sampling import SOLVER_ORDER
from cosmos3_core.sampling.schedule import Schedule


@dataclass(frozen=True)
class SolverState:
    """What UniPC remembers of one modality between two steps.

    Attributes:
        previous: the corrected sample of the previous step; None before the first.
        clean: the last predictions of the clean sample, oldest first, at most `SOLVER_ORDER`.
        order: the order of the previous prediction, which the next correction reuses.
    """

    previous: Tensor | None = None
    clean: tuple[Tensor, ...] = field(default=())
    order: int = 0


@dataclass(frozen=True)
class _Interval:
    """Coefficients between two noise levels, fp32."""

    ratio: Tensor
    alpha: Tensor
    phi: Tensor
    h: Tensor


def _log_snr(sigma: float) -> Tensor:
    level = torch.tensor(sigma, dtype=torch.float32)
    return torch.log(1 - level) - torch.log(level)


def _interval(start: float, end: float) -> _Interval:
    h = _log_snr(end) - _log_snr(start)
    ratio = torch.tensor(end, dtype=torch.float32) / torch.tensor(start, dtype=torch.float32)
    return _Interval(ratio=ratio, alpha=1 - torch.tensor(end, dtype=torch.float32), phi=torch.expm1(-h), h=h)


def _base(interval: _Interval, sample: Tensor, clean: Tensor) -> Tensor:
    """The first-order exponential step that predictor and corrector share."""
    return interval.ratio * sample - interval.alpha * interval.phi * clean


def _corrector_weights(r: Tensor, h: Tensor) -> Tensor:
    """Solution of the 2x2 system of UniC-2; `h` is the log-SNR interval, `r` the older interval over it."""
    phi1 = torch.expm1(-h)
    phi2 = phi1 / -h - 1
    phi3 = phi2 / -h - 1 / 2
    system = torch.stack([torch.ones(2), torch.stack([r, torch.ones(())])])
    solution: Tensor = torch.linalg.solve(system, torch.stack([phi2 / phi1, 2 * phi3 / phi1]))
    return solution


def _correct(schedule: Schedule, step: int, state: SolverState, clean: Tensor) -> Tensor:
    """UniC: refine the sample at `step` with the prediction just made there."""
    assert state.previous is not None
    sigmas = schedule.sigmas
    interval = _interval(sigmas[step - 1], sigmas[step])
    newest = state.clean[-1]
    base = _base(interval, state.previous, newest)
    change = clean - newest
    if state.order == 1:
        return base - interval.alpha * interval.phi * (0.5 * change)
    r = (_log_snr(sigmas[step - 2]) - _log_snr(sigmas[step - 1])) / interval.h
    weights = _corrector_weights(r, interval.h)
    slope = (state.clean[-2] - newest) / r
    return base - interval.alpha * interval.phi * (weights[0] * slope + weights[1] * change)


def _predict(schedule: Schedule, step: int, sample: Tensor, clean: tuple[Tensor, ...], order: int) -> Tensor:
    """UniP: the sample at `step + 1`."""
    sigmas = schedule.sigmas
    interval = _interval(sigmas[step], sigmas[step + 1])
    base = _base(interval, sample, clean[-1])
    if order == 1:
        return base
    r = (_log_snr(sigmas[step - 1]) - _log_snr(sigmas[step])) / interval.h
    slope = (clean[-2] - clean[-1]) / r
    return base - interval.alpha * interval.phi * (0.5 * slope)


def unipc_step(
    schedule: Schedule, step: int, state: SolverState, sample: Tensor, velocity: Tensor
) -> tuple[Tensor, SolverState]:
    """One step: correct the current sample, then predict the next.

    Args:
        schedule: noise levels of the request.
        step: 0-based index of this step.
        state: what the previous step returned.
        sample: the current sample, fp32, any shape.
        velocity: the guided velocity at `sample`, fp32.

    Returns:
        The sample at the next noise level and the new state; inputs are left untouched.
    """
    clean = sample - torch.tensor(schedule.sigmas[step], dtype=torch.float32) * velocity
    if step > 0:
        sample = _correct(schedule, step, state, clean)
    history = (*state.clean, clean)[-SOLVER_ORDER:]
    order = min(SOLVER_ORDER, schedule.steps - step, step + 1)
    following = _predict(schedule, step, sample, history, order)
    return following, SolverState(previous=sample, clean=history, order=order)
