"""Which seeds are for training and which are held out: odd ones are held out."""

from __future__ import annotations

from numpy.random import Generator, default_rng


def training_seed(index: int) -> int:
    """The seed of a training example.

    Raises:
        ValueError: the index is negative.
    """
    return 2 * _checked(index)


def held_out_seed(index: int) -> int:
    """The seed of an example that no training sees.

    Raises:
        ValueError: the index is negative.
    """
    return 2 * _checked(index) + 1


def training_rng(index: int) -> Generator:
    """All chance of a training example."""
    return default_rng(training_seed(index))


def held_out_rng(index: int) -> Generator:
    """All chance of an example that no training sees."""
    return default_rng(held_out_seed(index))


def _checked(index: int) -> int:
    if index < 0:
        raise ValueError(f"index is {index}; expected 0 or more")
    return index
