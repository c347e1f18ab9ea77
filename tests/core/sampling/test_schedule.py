"""Noise levels and timesteps: golden numbers, and diffusers' as oracle (spec 5.3, 5.5, 5.6, 14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from cosmos3_core.sampling import schedule
from cosmos3_core.sampling.schedule import Schedule

DISTILLED = (1.0, 0.9375, 0.8333333, 0.625)


# The first and the last values; the levels without the 0 at the end.
GOLDEN_FLOW = [
    (
        35,
        10,
        "0.999900 0.996965 0.993871 0.990605 .. 0.483598 0.377109 0.227092",
        "999 996 993 990 .. 483 377 227",
    ),
    (
        35,
        3,
        "0.999666 0.989955 0.979858 0.969354 .. 0.219325 0.153708 0.081004",
        "999 989 979 969 .. 219 153 81",
    ),
    (
        35,
        5,
        "0.999800 0.993948 0.987817 0.981384 .. 0.318911 0.232369 0.128090",
        "999 993 987 981 .. 318 232 128",
    ),
    (
        50,
        3,
        "0.999666 0.992907 0.985963 0.978826 .. 0.160571 0.111008 0.057637",
        "999 992 985 978 .. 160 111 57",
    ),
    (
        30,
        10,
        "0.999900 0.996461 0.992802 0.988902 .. 0.526039 0.416406 0.256213",
        "999 996 992 988 .. 526 416 256",
    ),
    (
        20,
        12,
        "0.999917 0.995546 0.990735 0.985412 .. 0.678989 0.571156 0.386847",
        "999 995 990 985 .. 678 571 386",
    ),
    (4, 5, "0.999800 0.937265 .. 0.833055 0.624687", "999 937 .. 833 624"),
]


def assert_golden(made: Schedule, levels: str, timesteps: str) -> None:
    for values, golden in ((made.sigmas[:-1], levels), (made.timesteps, timesteps)):
        head, tail = ([float(value) for value in end.split()] for end in golden.split(".. "))
        assert values[: len(head)] == pytest.approx(head, abs=1e-6)
        assert values[-len(tail) :] == pytest.approx(tail, abs=1e-6)
    assert made.sigmas[-1] == 0


@pytest.mark.parametrize(("steps", "shift", "levels", "timesteps"), GOLDEN_FLOW)
def test_flow_has_the_golden_numbers(steps: int, shift: float, levels: str, timesteps: str) -> None:
    made = schedule.flow(steps, shift)
    assert (made.steps, len(made.timesteps), len(made.sigmas)) == (steps, steps, steps + 1)
    assert_golden(made, levels, timesteps)


def test_karras_has_the_golden_numbers() -> None:
    levels = "0.995025 0.994317 0.993493 0.992529 .. 0.229421 0.174285 0.128160"
    assert_golden(schedule.karras(35, 0.147, 200.0), levels, "995 994 993 992 991 990 .. 292 229 174 128")


def test_linspace_has_the_golden_numbers() -> None:
    levels = "0.999999 0.997070 0.993982 0.990722 .. 0.486771 0.381447 0.233377"
    assert_golden(schedule.linspace(35, 10.0), levels, "999 997 993 990 987 983 .. 565 486 381 233")


STEPS = [1, 2, 4, 20, 35, 50, 200]
SHIFTS = [0.5, 1.0, 3.0, 5.0, 10.0, 12.0]


def unipc(**options: Any) -> Any:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, **options)


def assert_same(made: Schedule, oracle: Any) -> None:
    assert torch.equal(torch.tensor(made.sigmas), oracle.sigmas)
    assert torch.equal(torch.tensor(made.timesteps, dtype=torch.int64), oracle.timesteps)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", STEPS)
def test_flow_is_the_native_schedule_of_diffusers(steps: int, shift: float) -> None:
    oracle = unipc(flow_shift=shift)
    oracle.set_timesteps(sigmas=np.linspace(0.999, 0.0, steps + 1)[:-1])
    assert_same(schedule.flow(steps, shift), oracle)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", STEPS)
def test_linspace_is_the_flow_schedule_of_diffusers(steps: int, shift: float) -> None:
    oracle = unipc(flow_shift=shift)
    oracle.set_timesteps(steps)
    assert_same(schedule.linspace(steps, shift), oracle)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
@pytest.mark.parametrize("levels", [(0.147, 200.0), (0.002, 80.0)])
@pytest.mark.parametrize("steps", STEPS)
def test_karras_is_the_shipped_schedule_of_diffusers(steps: int, levels: tuple[float, float]) -> None:
    oracle = unipc(use_karras_sigmas=True, sigma_min=levels[0], sigma_max=levels[1])
    oracle.set_timesteps(steps)
    assert_same(schedule.karras(steps, *levels), oracle)


def test_fixed_levels_are_taken_as_they_are() -> None:
    made = schedule.fixed(DISTILLED)
    oracle: Any = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    oracle.set_timesteps(sigmas=list(DISTILLED))
    assert torch.equal(torch.tensor(made.sigmas), oracle.sigmas)
    assert torch.equal(torch.tensor(made.timesteps), oracle.timesteps)
    assert made.timesteps[0] == 1000
    assert made.steps == 4


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_noise_falls_from_step_to_step(steps: int, shift: float) -> None:
    for made in (schedule.flow(steps, shift), schedule.linspace(steps, shift)):
        assert all(before > after for before, after in zip(made.sigmas, made.sigmas[1:], strict=False))
        assert made.sigmas[0] < 1
