"""Drawing from lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")


def one_of(rng: Generator, choices: Sequence[T]) -> T:
    """One of some values, each equally likely."""
    return choices[int(rng.integers(len(choices)))]
