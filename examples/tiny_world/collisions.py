"""Contact of convex shapes by their separating axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.shapes import Outline, normals


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
    axes = np.concatenate([normals(first), -normals(second)])
    # Along each axis the second has to move from its nearest point to the farthest of the first.
    depths: NDArray[np.float64] = (first @ axes.T).max(axis=0) - (second @ axes.T).min(axis=0)
    best = int(depths.argmin())
    if depths[best] <= 0:
        return None
    return Overlap(float(depths[best]), float(axes[best, 0]), float(axes[best, 1]))


def gap(first: Outline, second: Outline) -> float:
    """The largest distance between two outlines along a normal of their edges; negative where they overlap."""
    axes = np.concatenate([normals(first), -normals(second)])
    separations: NDArray[np.float64] = (second @ axes.T).min(axis=0) - (first @ axes.T).max(axis=0)
    return float(separations.max())
