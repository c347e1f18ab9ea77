"""Shapes in one picture: colour, centre, area; what is no shape."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.measure.blobs import find_blobs, ground_name, ground_of, nearest
from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.render import Painted, draw, gripper_at, shape_at
from examples.tiny_world.scenes.shapes import ShapeKind
from tests.world.damage import blurred


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_is_found_on_every_ground_and_nothing_else_is(colour: str, ground: str) -> None:
    thing = shape_at(ShapeKind.TRIANGLE, COLOURS[colour], 0.12, 0.7, 0.4)
    picture = blurred(draw(GROUNDS[ground], [thing], 160, 96)[None])[0]
    (blob,) = find_blobs(picture, ground_of(picture[None]))
    assert blob.colour == colour and blob.confidence > 0.8
    assert (blob.x, blob.y) == pytest.approx((0.7, 0.4), abs=0.005)
    assert blob.radius == pytest.approx(0.12, rel=0.05)


def _picture(*things: Painted) -> np.ndarray:
    return draw(GROUNDS["gray"], things, 160, 96)


def test_touching_shapes_are_two() -> None:
    left = shape_at(ShapeKind.SQUARE, COLOURS["red"], 0.12, 0.6, 0.5)
    right = shape_at(ShapeKind.SQUARE, COLOURS["blue"], 0.12, 0.6 + 0.12 * np.sqrt(np.pi), 0.5)
    picture = blurred(_picture(left, right)[None])[0]
    blobs = find_blobs(picture, ground_of(picture[None]))
    assert {blob.colour for blob in blobs} == {"red", "blue"}
    assert [blob.radius for blob in blobs] == pytest.approx([0.12, 0.12], rel=0.06)


def test_the_gripper_and_specks_are_no_shapes() -> None:
    speck = shape_at(ShapeKind.CIRCLE, COLOURS["green"], 0.03, 0.3, 0.3)
    picture = _picture(speck, *gripper_at(1.0, 0.5))
    assert find_blobs(picture, ground_of(picture[None])) == []


def test_a_spot_on_a_shape_is_no_second_shape() -> None:
    body = shape_at(ShapeKind.CIRCLE, COLOURS["orange"], 0.2, 0.8, 0.5)
    spot = shape_at(ShapeKind.CIRCLE, COLOURS["yellow"], 0.07, 0.85, 0.5)
    picture = _picture(body, spot)
    assert [blob.colour for blob in find_blobs(picture, ground_of(picture[None]))] == ["orange"]


def test_the_ground_is_read_although_shapes_touch_the_border() -> None:
    things = [
        shape_at(ShapeKind.SQUARE, COLOURS["yellow"], 0.2, 0.0, 0.5),
        shape_at(ShapeKind.SQUARE, (0, 0, 0), 0.2, 0.8, 1.0),
    ]
    picture = draw(GROUNDS["navy"], things, 160, 96)
    name, confidence = ground_name(ground_of(picture[None]))
    assert name == "navy" and confidence > 0.95


def test_a_colour_between_two_is_uncertain() -> None:
    between = (np.array(COLOURS["red"], float) + np.array(COLOURS["orange"])) / 2
    assert nearest(between, COLOURS)[1] < 0.05
    name, confidence = nearest(np.array(COLOURS["red"], float), COLOURS)
    assert name == "red" and confidence == pytest.approx(1.0)
