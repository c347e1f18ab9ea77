"""The shapes: convex outlines about their centre of mass, of equal area at equal size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

CIRCLE_CORNERS = 40


class ShapeKind(StrEnum):
    """What a shape is called."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    """Its tip points up."""
    DIAMOND = "diamond"
    """A square on its corner."""


class Size(StrEnum):
    """How large a shape is."""

    SMALL = "small"
    LARGE = "large"

    @property
    def radius(self) -> float:
        """Of the circle with the same area, in heights of the frame."""
        return 0.105 if self is Size.SMALL else 0.17


_CORNERS = {
    ShapeKind.CIRCLE: (CIRCLE_CORNERS, 0.0),
    ShapeKind.SQUARE: (4, 0.25 * math.pi),
    ShapeKind.TRIANGLE: (3, -0.5 * math.pi),
    ShapeKind.DIAMOND: (4, 0.0),
}
"""All are regular: number of corners, and the angle of the first."""


@dataclass(frozen=True)
class Extent:
    """How far an outline reaches from its centre, in heights."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Outline:
    """A convex polygon in its place.

    Attributes:
        x, y: its centre of mass, in heights; y points down.
        corners: `[n, 2]` in heights.
        normals: unit vectors `[n, 2]` that point outwards, one for each edge from corner i to corner i + 1.
        reach: the distance from the centre of mass to the farthest corner, in heights.
    """

    x: float
    y: float
    corners: NDArray[np.float64]
    normals: NDArray[np.float64]
    reach: float

    @property
    def limits(self) -> NDArray[np.float64]:
        """How far each edge is from the origin along its normal `[n]`, in heights."""
        limits: NDArray[np.float64] = (self.normals * self.corners).sum(axis=1)
        return limits


def outline(kind: ShapeKind, radius: float, x: float, y: float) -> Outline:
    """The outline of a shape.

    Args:
        kind: which shape.
        radius: of the circle with the same area, in heights.
        x, y: its centre of mass, in heights.
    """
    corners, normals = _unit_outline(kind)
    return Outline(x, y, radius * corners + np.array((x, y)), normals, radius * _unit_reach(kind))


def extent(kind: ShapeKind, radius: float) -> Extent:
    """How far a shape reaches from its centre of mass to each side."""
    unit = _unit_extent(kind)
    return Extent(unit.left * radius, unit.top * radius, unit.right * radius, unit.bottom * radius)


@cache
def _unit_outline(kind: ShapeKind) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners of a shape with the area of the circle of radius 1, and its normals."""
    corners, first = _CORNERS[kind]
    angles = first + 2 * math.pi / corners * np.arange(corners)
    between = angles + math.pi / corners
    outward = np.stack([np.cos(between), np.sin(between)], axis=1)
    return _unit_reach(kind) * np.stack([np.cos(angles), np.sin(angles)], axis=1), outward


@cache
def _unit_reach(kind: ShapeKind) -> float:
    corners, _ = _CORNERS[kind]
    # A regular polygon with n corners at distance R has the area n / 2 * R² * sin(2 pi / n).
    return math.sqrt(2 * math.pi / (corners * math.sin(2 * math.pi / corners)))


@cache
def _unit_extent(kind: ShapeKind) -> Extent:
    corners, _ = _unit_outline(kind)
    left, top = (-corners.min(axis=0)).tolist()
    right, bottom = corners.max(axis=0).tolist()
    return Extent(left, top, right, bottom)
