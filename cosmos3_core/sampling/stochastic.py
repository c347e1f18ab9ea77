"""The fixed-step stochastic sampler of distilled checkpoints (spec 5.6).

Each step jumps to the predicted clean sample and adds fresh noise of the next level, so it has no history.
"""

from __future__ import annotations

from torch import Tensor

from cosmos3_core.sampling.schedule import Schedule


def stochastic_step(schedule: Schedule, step: int, sample: Tensor, velocity: Tensor, noise: Tensor) -> Tensor:
    """The sample at the next noise level: `(1 - s) x0 + s noise`; the last step returns the clean sample.

    Args:
        schedule: the checkpoint's fixed levels.
        step: 0-based index of this step.
        sample: the current sample, fp32.
        velocity: the velocity at `sample`, fp32.
        noise: standard normal, as `sample`; unused in the last step.
    """
    following = schedule.sigmas[step + 1]
    clean = sample - schedule.sigmas[step] * velocity
    return clean if following == 0 else (1 - following) * clean + following * noise
