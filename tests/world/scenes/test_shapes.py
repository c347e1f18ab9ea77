"""Outlines: area, centre of mass, normals."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.scenes.shapes import ShapeKind, Size, extent, outline

each_kind = pytest.mark.parametrize("kind", ShapeKind)


@each_kind
def test_area_and_centre_of_mass_are_as_promised(kind: ShapeKind) -> None:
    shape = outline(kind, 0.2, 0.5, 0.3)
    x, y = shape.corners.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    area = cross.sum() / 2
    centre = (((x + next_x) * cross).sum() / (6 * area), ((y + next_y) * cross).sum() / (6 * area))
    assert area == pytest.approx(np.pi * 0.2**2)
    assert centre == pytest.approx((0.5, 0.3))


@each_kind
def test_normals_point_outwards_and_stand_on_their_edges(kind: ShapeKind) -> None:
    shape = outline(kind, 0.2, 0.5, 0.3)
    edges = np.roll(shape.corners, -1, axis=0) - shape.corners
    assert np.abs((edges * shape.normals).sum(axis=1)).max() < 1e-9
    assert ((shape.corners @ shape.normals.T).max(axis=0) <= shape.limits + 1e-9).all()
    assert (np.array((shape.x, shape.y)) @ shape.normals.T < shape.limits).all()


@each_kind
def test_extent_is_the_box_around_the_outline(kind: ShapeKind) -> None:
    reach, corners = extent(kind, 0.2), outline(kind, 0.2, 0.0, 0.0).corners
    assert (-reach.left, -reach.top) == pytest.approx(tuple(corners.min(axis=0)))
    assert (reach.right, reach.bottom) == pytest.approx(tuple(corners.max(axis=0)))


def test_the_triangle_points_up_and_sizes_differ_clearly() -> None:
    reach = extent(ShapeKind.TRIANGLE, 0.2)
    assert reach.top > reach.bottom and reach.left == pytest.approx(reach.right)
    assert Size.LARGE.radius**2 > 2 * Size.SMALL.radius**2
