"""The shapes: convex outlines about their centre of mass, of equal area at equal size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
"""Corners `[n, 2]` of a convex polygon, x and y, in order."""
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


@dataclass(frozen=True)
class Extent:
    """How far an outline reaches from its centre, in heights."""

    left: float
    top: float
    right: float
    bottom: float


@cache
def _unit_outline(kind: ShapeKind) -> Outline:
    """The outline whose area is that of the circle of radius 1."""
    corners, first = {
        ShapeKind.CIRCLE: (CIRCLE_CORNERS, 0.0),
        ShapeKind.SQUARE: (4, 0.25 * math.pi),
        ShapeKind.TRIANGLE: (3, -0.5 * math.pi),
        ShapeKind.DIAMOND: (4, 0.0),
    }[kind]
    # A regular polygon with n corners at distance R has the area n / 2 * R² * sin(2 pi / n).
    reach = math.sqrt(2 * math.pi / (corners * math.sin(2 * math.pi / corners)))
    angles = first + 2 * math.pi / corners * np.arange(corners)
    outline = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outline.flags.writeable = False
    return outline


def outline(kind: ShapeKind, radius: float) -> Outline:
    """The outline of a shape about its centre of mass; y points down.

    Args:
        kind: which shape.
        radius: of the circle with the same area.
    """
    return radius * _unit_outline(kind)


def extent(kind: ShapeKind, radius: float) -> Extent:
    """How far a shape reaches from its centre of mass to each side."""
    corners = _unit_outline(kind)
    left, top = (-corners.min(axis=0)).tolist()
    right, bottom = corners.max(axis=0).tolist()
    return Extent(left * radius, top * radius, right * radius, bottom * radius)


def placed(kind: ShapeKind, radius: float, x: float, y: float) -> Outline:
    """The outline of a shape with its centre of mass at a place."""
    return outline(kind, radius) + np.array((x, y))


def reach(kind: ShapeKind, radius: float) -> float:
    """The distance from the centre of mass to the farthest corner, in heights."""
    return radius * float(np.hypot(*_unit_outline(kind)[0]))


def normals(corners: Outline) -> NDArray[np.float64]:
    """Unit normals `[n, 2]` that point outwards, one for each edge from corner i to corner i + 1."""
    edges = np.roll(corners, -1, axis=0) - corners
    outward = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    return outward / np.linalg.norm(outward, axis=1, keepdims=True)
