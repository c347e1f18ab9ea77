"""Pictures: areas, colours, smooth edges, what covers what."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.scenes.palette import COLOURS, GRIPPER, GROUNDS
from examples.tiny_world.scenes.render import coverage, draw, gripper_at, render, shape_at
from examples.tiny_world.scenes.scene import Body, ClipFormat, Flaw, FlawKind, Scene
from examples.tiny_world.scenes.shapes import ShapeKind, Size, outline


@pytest.mark.parametrize("kind", ShapeKind)
def test_the_covered_area_and_its_centre_are_those_of_the_outline(kind: ShapeKind) -> None:
    rows, columns, part = coverage(outline(kind, 0.2, 0.71, 0.46), 160, 96)
    assert part.sum() / 96**2 == pytest.approx(np.pi * 0.2**2, rel=0.01)
    x, y = np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
    centre = np.array([(part.sum(axis=0) @ x), (part.sum(axis=1) @ y)]) / part.sum() / 96
    assert centre == pytest.approx((0.71, 0.46), abs=0.002)


def test_half_of_a_shape_at_the_edge_is_drawn_and_none_of_one_outside() -> None:
    _, _, part = coverage(outline(ShapeKind.SQUARE, 0.2, 0.0, 0.5), 160, 96)
    assert part.sum() / 96**2 == pytest.approx(np.pi * 0.2**2 / 2, rel=0.01)
    _, _, nothing = coverage(outline(ShapeKind.CIRCLE, 0.2, -0.5, 0.5), 160, 96)
    assert nothing.sum() == 0


def test_colours_are_exact_inside_and_mixed_at_the_edge() -> None:
    picture = draw(GROUNDS["navy"], [shape_at(ShapeKind.CIRCLE, COLOURS["red"], 0.2, 0.8, 0.5)], 160, 96)
    assert tuple(picture[48, 76]) == COLOURS["red"] and tuple(picture[0, 0]) == GROUNDS["navy"]
    values = {tuple(value) for value in picture.reshape(-1, 3).tolist()}
    assert len(values) > 10
    low, high = np.minimum(COLOURS["red"], GROUNDS["navy"]), np.maximum(COLOURS["red"], GROUNDS["navy"])
    assert ((picture >= low) & (picture <= high)).all()


def test_later_things_cover_earlier_ones() -> None:
    below = shape_at(ShapeKind.SQUARE, COLOURS["green"], 0.2, 0.8, 0.5)
    picture = draw(GROUNDS["gray"], [below, *gripper_at(0.8, 0.5)], 160, 96)
    assert tuple(picture[48, 77]) == GRIPPER


@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 96), (96, 160), (320, 192)])
def test_a_scene_has_the_size_and_length_that_are_asked_for(width: int, height: int) -> None:
    body = Body(ShapeKind.DIAMOND, "pink", Size.SMALL, 0.3, 0.5)
    frames = render(Scene((body,), "brown", ClipFormat(width, height, 5, 10.0)))
    assert frames.shape == (5, height, width, 3) and frames.dtype == np.uint8
    assert tuple(frames[0, height // 2, round(0.3 * height)]) == COLOURS["pink"]


def test_only_the_first_shape_changes_its_colour() -> None:
    bodies = (Body(ShapeKind.SQUARE, "red", Size.LARGE, 0.3, 0.5), Body(ShapeKind.SQUARE, "blue", Size.LARGE, 1.2, 0.5))
    frames = render(Scene(bodies, flaw=Flaw(FlawKind.RECOLOUR, 4 / 12, colour="cyan")))
    middle = [[tuple(frame[48, round(x * 96)]) for x in (0.3, 1.2)] for frame in frames]
    assert middle == [[COLOURS["red"], COLOURS["blue"]]] * 4 + [[COLOURS["cyan"], COLOURS["blue"]]] * 5
