"""Overlap of convex outlines, against cases that are known."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.scenes.collisions import gap, overlap
from examples.tiny_world.scenes.shapes import ShapeKind, outline


def test_two_squares_side_by_side() -> None:
    side = np.sqrt(np.pi) * 0.1
    left = outline(ShapeKind.SQUARE, 0.1, 0.3, 0.5)
    right = outline(ShapeKind.SQUARE, 0.1, 0.3 + side - 0.02, 0.5)
    found = overlap(left, right)
    assert found is not None and found.depth == pytest.approx(0.02)
    assert (found.x, found.y) == pytest.approx((1, 0), abs=1e-9)
    back = overlap(right, left)
    assert back is not None and (back.x, back.y) == pytest.approx((-1, 0), abs=1e-9)


@pytest.mark.parametrize("kind", ShapeKind)
def test_moving_by_the_overlap_parts_any_two_shapes(kind: ShapeKind) -> None:
    rng = np.random.default_rng(0)
    for other in ShapeKind:
        first = outline(kind, 0.1, 0.5, 0.5)
        x, y = (0.5 + rng.uniform(-0.1, 0.1, 2)).tolist()
        found = overlap(first, outline(other, 0.12, x, y))
        assert found is not None
        moved = outline(other, 0.12, x + 1.001 * found.depth * found.x, y + 1.001 * found.depth * found.y)
        assert overlap(first, moved) is None and 0 <= gap(first, moved) < 0.001


def test_circles_touch_at_the_sum_of_their_radii() -> None:
    first = outline(ShapeKind.CIRCLE, 0.1, 0.5, 0.5)
    assert gap(first, outline(ShapeKind.CIRCLE, 0.1, 0.8, 0.5)) == pytest.approx(0.1, abs=0.002)
    assert overlap(first, outline(ShapeKind.CIRCLE, 0.1, 0.71, 0.5)) is None


def test_a_triangle_and_a_square_whose_boxes_overlap_may_be_apart() -> None:
    triangle = outline(ShapeKind.TRIANGLE, 0.2, 0.5, 0.5)
    corner = outline(ShapeKind.SQUARE, 0.05, 0.72, 0.25)
    assert corner.corners[:, 0].min() < triangle.corners[:, 0].max()
    assert corner.corners[:, 1].max() > triangle.corners[:, 1].min()
    assert overlap(triangle, corner) is None
