"""Contact of convex shapes by their separating axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.shapes import Outline


@dataclass(frozen=True)
class Overlap:
    """How two outlines overlap.

    Attributes:
        depth: the shortest way by which the second has to move to touch without overlapping, in heights.
        x, y: unit vector of that way.
    """

    depth: float
    x: float
    y: float


def overlap(first: Outline, second: Outline) -> Overlap | None:
    """The overlap of two convex outlines; None where an axis separates them."""
    if math.hypot(second.x - first.x, second.y - first.y) >= first.reach + second.reach:
        return None
    axes, separations = _separations(first, second)
    best = int(separations.argmax())
    if separations[best] >= 0:
        return None
    return Overlap(-float(separations[best]), float(axes[best, 0]), float(axes[best, 1]))


def gap(first: Outline, second: Outline) -> float:
    """The largest distance between two outlines along a normal of their edges; negative where they overlap."""
    return float(_separations(first, second)[1].max())


def _separations(first: Outline, second: Outline) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The axes `[n, 2]`, from the first to the second, and how far apart the outlines are along each."""
    axes = np.concatenate([first.normals, -second.normals])
    return axes, (second.corners @ axes.T).min(axis=0) - (first.corners @ axes.T).max(axis=0)
