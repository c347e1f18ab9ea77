"""The interleaved three-axis rotation (spec 3.1), against a slow one written down from the specification."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.rope import Rotation, rotation, stack_branches
from tests.published import EDGE, NANO

TINY = replace(NANO.config, head_dim=64, rope_axes_dim=(12, 10, 10))
CONFIGS = [
    pytest.param(NANO.config, id="nano"),
    pytest.param(EDGE.config, id="edge"),
    pytest.param(TINY, id="tiny"),
]
# Text, the first and a late token of a clip, one between two frames.
POSITIONS = torch.tensor([[7.0, 15200, 16123, 15204.5], [7, 0, 22, 4], [7, 0, 39, 7]])


def axis_of(frequency: int, sections: tuple[int, int, int]) -> int:
    """Which axis a frequency belongs to: rows and columns take turns with time until theirs are used up."""
    for axis in (1, 2):
        if frequency % 3 == axis and frequency < 3 * sections[axis]:
            return axis
    return 0


def slow_angles(config: TransformerConfig, positions: Tensor) -> Tensor:
    """With the specification's expression for the frequencies: one bit of an angle near 15,000 is 1e-3."""
    width, half = config.head_dim, config.head_dim // 2
    omegas = 1.0 / (config.rope_theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    angles = torch.empty(positions.shape[1], width)
    for token in range(positions.shape[1]):
        for frequency in range(half):
            angle = omegas[frequency] * positions[axis_of(frequency, config.rope_axes_dim), token]
            angles[token, frequency] = angles[token, half + frequency] = angle
    return angles


@pytest.mark.parametrize("config", CONFIGS)
def test_every_frequency_turns_with_its_own_axis(config: TransformerConfig) -> None:
    fast = rotation(config, POSITIONS, torch.float32)
    angles = slow_angles(config, POSITIONS)
    assert torch.equal(fast.cos, angles.cos())
    assert torch.equal(fast.sin, angles.sin())


@pytest.mark.parametrize(
    ("config", "rows", "columns", "times"),
    [
        (NANO.config, range(1, 59, 3), range(2, 60, 3), [*range(0, 58, 3), 60, 61, 62, 63]),
        (TINY, range(1, 29, 3), range(2, 30, 3), [*range(0, 28, 3), 30, 31]),
    ],
)
def test_the_axes_own_the_frequencies_of_the_specification(
    config: TransformerConfig, rows: range, columns: range, times: list[int]
) -> None:
    assert (len(times), len(rows), len(columns)) == config.rope_axes_dim
    for axis, owned in enumerate([times, rows, columns]):
        alone = torch.zeros(3, 1)
        alone[axis] = 1.0
        turned = rotation(config, alone, torch.float32).sin[0, : config.head_dim // 2]
        assert turned.nonzero().flatten().tolist() == sorted(owned)


@pytest.mark.parametrize("config", CONFIGS)
def test_rotation_turns_pairs_half_a_head_apart(config: TransformerConfig) -> None:
    x = torch.randn(2, 4, config.head_dim, generator=torch.Generator().manual_seed(0))
    rotated = rotation(config, POSITIONS, torch.float32).apply(x)
    angles, half = slow_angles(config, POSITIONS).double(), config.head_dim // 2
    for token, pair in [(0, 0), (1, 1), (2, 2), (3, half - 1)]:
        angle = angles[token, pair].item()
        a, b = x[1, token, pair].item(), x[1, token, pair + half].item()
        expected_a = a * math.cos(angle) - b * math.sin(angle)
        expected_b = b * math.cos(angle) + a * math.sin(angle)
        assert rotated[1, token, pair].item() == pytest.approx(expected_a, abs=1e-6)
        assert rotated[1, token, pair + half].item() == pytest.approx(expected_b, abs=1e-6)


def test_rotation_at_the_origin_changes_nothing() -> None:
    x = torch.randn(3, 2, 128, generator=torch.Generator().manual_seed(1))
    assert torch.equal(rotation(NANO.config, torch.zeros(3, 2), torch.float32).apply(x), x)


def test_scores_depend_on_distance_only() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 1, 128, generator=generator).double()

    def score(query_at: float, key_at: float) -> float:
        def turned(x: Tensor, at: float) -> Tensor:
            angles = slow_angles(NANO.config, torch.full((3, 1), at)).double()
            return Rotation(angles.cos(), angles.sin()).apply(x)

        return float((turned(query, query_at) * turned(key, key_at)).sum())

    assert score(5.0, 2.0) == pytest.approx(score(105.0, 102.0), abs=1e-3)
    assert score(5.0, 2.0) != pytest.approx(score(5.0, 3.0), abs=1e-3)


def test_cosines_are_rounded_to_the_compute_dtype_at_the_end() -> None:
    exact = rotation(NANO.config, POSITIONS, torch.float32)
    rounded = rotation(NANO.config, POSITIONS, torch.bfloat16)
    assert torch.equal(rounded.cos, exact.cos.bfloat16())
    assert torch.equal(rounded.sin, exact.sin.bfloat16())


def test_stacked_branches_rotate_as_each_alone() -> None:
    branches = [rotation(TINY, POSITIONS + shift, torch.float32) for shift in (0, 40)]
    x = torch.randn(2, 3, 4, 64, generator=torch.Generator().manual_seed(3))
    together = stack_branches(branches).apply(x)
    for branch, rope in enumerate(branches):
        assert torch.equal(together[branch], rope.apply(x[branch]))
