"""UniPC and the fixed-step sampler as pure functions, with diffusers' as oracle (spec 5.4, 5.6)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.schedule import Schedule
from cosmos3_core.sampling.solver import SolverState, unipc_step
from cosmos3_core.sampling.stochastic import stochastic_step

DISTILLED = (1.0, 0.9375, 0.8333333, 0.625)
SHAPE = (3, 2, 4)


def random(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def solve(schedule: Schedule, sample: Tensor, velocity: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
    """The sample before the first step and after each."""
    samples, state = [sample], SolverState()
    for step in range(schedule.steps):
        following, state = unipc_step(schedule, step, state, samples[-1], velocity(step, samples[-1]))
        samples.append(following)
    return samples


def native(steps: int, shift: float) -> tuple[Schedule, Any]:
    oracle: Any = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    oracle.set_timesteps(sigmas=np.linspace(0.999, 0.0, steps + 1)[:-1])
    return schedules.flow(steps, shift), oracle


def linspace(steps: int, shift: float) -> tuple[Schedule, Any]:
    oracle: Any = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    oracle.set_timesteps(steps)
    return schedules.linspace(steps, shift), oracle


def karras(steps: int, sigma_max: float) -> tuple[Schedule, Any]:
    oracle: Any = UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        use_karras_sigmas=True,
        sigma_min=0.147,
        sigma_max=sigma_max,
    )
    oracle.set_timesteps(steps)
    return schedules.karras(steps, 0.147, sigma_max), oracle


CASES = [
    *((native, steps, shift) for steps, shift in [(1, 5), (2, 3), (3, 1), (4, 5), (8, 3), (20, 12), (35, 10)]),
    *((linspace, steps, shift) for steps, shift in [(1, 1), (2, 3), (4, 5), (35, 3), (50, 10)]),
    *((karras, steps, sigma_max) for steps, sigma_max in [(2, 200), (4, 80), (35, 200)]),
]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
@pytest.mark.parametrize(("kind", "steps", "number"), CASES)
def test_unipc_takes_the_steps_of_diffusers_to_the_bit(
    kind: Callable[[int, float], tuple[Schedule, Any]], steps: int, number: float
) -> None:
    schedule, oracle = kind(steps, number)
    sample = random(0)

    def velocity(step: int, latent: Tensor) -> Tensor:
        return torch.tanh(latent) + random(step + 1)

    expected = [sample]
    for step, timestep in enumerate(oracle.timesteps):
        before = expected[-1]
        expected.append(oracle.step(velocity(step, before), timestep, before, return_dict=False)[0])
    samples = solve(schedule, sample, velocity)
    assert [torch.equal(ours, theirs) for ours, theirs in zip(samples, expected, strict=True)] == [True] * (steps + 1)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 35])
@pytest.mark.parametrize("shift", [1.0, 10.0])
def test_a_constant_clean_sample_is_reached_on_a_straight_line(steps: int, shift: float) -> None:
    schedule = schedules.flow(steps, shift)
    clean, noise = random(1), random(2)
    first = schedule.sigmas[0]

    def velocity(step: int, latent: Tensor) -> Tensor:
        return (latent - clean) / schedule.sigmas[step]

    samples = solve(schedule, (1 - first) * clean + first * noise, velocity)
    for sigma, sample in zip(schedule.sigmas, samples, strict=True):
        assert torch.allclose(sample, (1 - sigma) * clean + sigma * noise, atol=2e-4)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_last_step_returns_the_clean_prediction(steps: int) -> None:
    schedule = schedules.flow(steps, 5.0)
    samples = solve(schedule, random(0), lambda step, latent: random(step + 1))
    level = torch.tensor(schedule.sigmas[-2])
    assert torch.equal(samples[-1], samples[-2] - level * random(steps))


def test_zero_velocity_keeps_the_sample() -> None:
    samples = solve(schedules.flow(35, 10.0), random(0), lambda step, latent: torch.zeros(SHAPE))
    assert torch.allclose(samples[-1], samples[0], atol=1e-4)


def test_a_unipc_step_leaves_its_arguments_alone() -> None:
    schedule = schedules.flow(5, 3.0)
    sample, state = random(0), SolverState()
    for step in range(schedule.steps):
        velocity = random(step + 1)
        before = deepcopy((sample, velocity, state))
        following, after = unipc_step(schedule, step, state, sample, velocity)
        again, _ = unipc_step(schedule, step, state, sample, velocity)
        assert torch.equal(following, again)
        assert torch.equal(sample, before[0])
        assert torch.equal(velocity, before[1])
        assert len(state.clean) == len(before[2].clean)
        for kept, copied in zip(state.clean, before[2].clean, strict=True):
            assert torch.equal(kept, copied)
        sample, state = following, after


def test_the_history_is_two_predictions_and_the_order_follows_the_specification() -> None:
    schedule, state, sample = schedules.flow(5, 3.0), SolverState(), random(0)
    orders, lengths = [], []
    for step in range(schedule.steps):
        sample, state = unipc_step(schedule, step, state, sample, random(step + 1))
        orders.append(state.order)
        lengths.append(len(state.clean))
    assert orders == [1, 2, 2, 2, 1]
    assert lengths == [1, 2, 2, 2, 2]


def test_a_stochastic_step_jumps_to_the_clean_sample_and_adds_fresh_noise() -> None:
    schedule = schedules.fixed(DISTILLED)
    sample, velocity, noise = random(0), random(1), random(2)
    for step, (level, following) in enumerate(zip(schedule.sigmas, schedule.sigmas[1:], strict=False)):
        clean = sample - level * velocity
        stepped = stochastic_step(schedule, step, sample, velocity, noise)
        assert torch.allclose(stepped, (1 - following) * clean + following * noise, atol=1e-6)
    assert torch.equal(stepped, clean)


def test_the_fixed_steps_are_the_stochastic_steps_of_diffusers() -> None:
    schedule, generator = schedules.fixed(DISTILLED), torch.Generator()
    oracle: Any = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    oracle.set_timesteps(sigmas=list(DISTILLED))
    ours = theirs = random(0)
    for step, timestep in enumerate(oracle.timesteps):
        velocity = torch.tanh(theirs) + random(step + 1)
        noise = torch.randn(SHAPE, generator=generator.manual_seed(step))
        options = {"generator": generator.manual_seed(step), "return_dict": False}
        theirs = oracle.step(velocity, timestep, theirs, **options)[0]
        ours = stochastic_step(schedule, step, ours, velocity, noise)
        assert torch.equal(ours, theirs)


def test_a_stochastic_step_leaves_its_arguments_alone() -> None:
    arguments = random(0), random(1), random(2)
    before = deepcopy(arguments)
    stochastic_step(schedules.fixed(DISTILLED), 1, *arguments)
    for argument, copied in zip(arguments, before, strict=True):
        assert torch.equal(argument, copied)
