"""No seed is in both splits."""

from __future__ import annotations

import pytest

from examples.tiny_world.splits import held_out_rng, held_out_seed, training_rng, training_seed


def test_the_splits_are_disjoint_and_without_repetition() -> None:
    training, held_out = {training_seed(i) for i in range(5000)}, {held_out_seed(i) for i in range(5000)}
    assert len(training) == len(held_out) == 5000 and training.isdisjoint(held_out)


def test_chance_follows_from_the_index() -> None:
    assert training_rng(3).integers(2**60) == training_rng(3).integers(2**60) != held_out_rng(3).integers(2**60)


def test_negative_indices_are_refused() -> None:
    for seed in (training_seed, held_out_seed):
        with pytest.raises(ValueError, match="index is -1"):
            seed(-1)
