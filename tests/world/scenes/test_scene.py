"""Values of a scene: directions, speeds, lengths, and what is refused."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from examples.tiny_world.scenes.scene import SAMPLING_RATE, Body, ClipFormat, Direction, Scene, Speed
from examples.tiny_world.scenes.shapes import ShapeKind, Size

RED = Body(ShapeKind.CIRCLE, "red", Size.SMALL, 0.5, 0.5)


@pytest.mark.parametrize("direction", Direction)
def test_a_direction_is_found_again_by_its_vector(direction: Direction) -> None:
    x, y = direction.vector
    assert math.hypot(x, y) == pytest.approx(1)
    for turned in (-0.3, 0.0, 0.3):
        cos, sin = math.cos(turned), math.sin(turned)
        assert Direction.of(3 * (x * cos - y * sin), 3 * (x * sin + y * cos)) is direction


def test_down_means_a_larger_y() -> None:
    assert Direction.DOWN.vector == pytest.approx((0, 1))
    assert Direction.of(-1, -1) is Direction.UP_LEFT is Direction.DOWN_RIGHT.opposite


def test_a_body_reaches_to_each_side_as_far_as_its_extent_says() -> None:
    body = Body(ShapeKind.TRIANGLE, "red", Size.SMALL, 0.5, 0.5)
    reaches = tuple(body.reach(to) for to in (Direction.LEFT, Direction.UP, Direction.RIGHT, Direction.DOWN))
    assert reaches == astuple(body.extent) and body.reach(Direction.UP) > body.reach(Direction.DOWN)


@pytest.mark.parametrize("speed", Speed)
def test_a_speed_is_found_again(speed: Speed) -> None:
    for factor in (0.8, 1.0, 1.25):
        assert Speed.of(factor * speed.heights_per_second) is speed


def test_the_sound_is_cut_to_whole_samples() -> None:
    assert ClipFormat(frames=9, fps=8.0).samples == 54000
    assert ClipFormat(frames=17, fps=23.0).samples == int(17 / 23 * SAMPLING_RATE)


def test_scenes_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="colour is 'mauve'; expected one of red"):
        Body(ShapeKind.CIRCLE, "mauve", Size.SMALL, 0.5, 0.5)
    with pytest.raises(ValueError, match="share a colour"):
        Scene((RED, RED))
    with pytest.raises(ValueError, match="ground is 'red'"):
        Scene((RED,), ground="red")
    with pytest.raises(ValueError, match="bodies is empty"):
        Scene(())
