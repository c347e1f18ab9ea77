"""The gripper: it moves by its action, pushes what it touches, and nothing leaves the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos3_core.embodiments import EMBODIMENTS
from examples.tiny_world.agent import simulator
from examples.tiny_world.agent.simulator import DOMAIN, MOST, State, action, distance, picture, pictures, roll_out, step
from examples.tiny_world.scenes.palette import COLOURS, GRIPPER
from examples.tiny_world.scenes.scene import Body, ClipFormat
from examples.tiny_world.scenes.shapes import ShapeKind, Size

BLOCK = Body(ShapeKind.SQUARE, "green", Size.SMALL, 0.8, 0.5)
STATE = State((BLOCK,), 0.3, 0.5)
RIGHT = action(MOST, 0.0)


def test_an_action_has_the_width_of_its_embodiment_and_two_channels_that_count() -> None:
    vector = action(0.5 * MOST, -2.0)
    assert vector.shape == (EMBODIMENTS[DOMAIN].width,) and vector.dtype == np.float32
    assert vector[:2] == pytest.approx((0.5, -1.0)) and (vector[2:] == 0).all()


def test_the_gripper_moves_by_its_action_alone() -> None:
    moved = step(STATE, action(0.5 * MOST, MOST))
    assert (moved.x, moved.y) == pytest.approx((0.3 + 0.5 * MOST, 0.5 + MOST))
    assert moved.bodies == STATE.bodies
    assert step(STATE, np.array([0.5, 1.0, 9.0])) == moved


def test_actions_beyond_the_largest_are_cut_and_broken_ones_refused() -> None:
    assert step(STATE, np.array([7.0, 0.0])) == step(STATE, RIGHT)
    for broken in (np.array([1.0]), np.array([np.nan, 0.0])):
        with pytest.raises(ValueError, match="expected two or more finite numbers"):
            step(STATE, broken)


def test_what_is_touched_is_pushed_along() -> None:
    states = roll_out(STATE, np.stack([RIGHT] * 10))
    gaps = [distance(state, "green") for state in states]
    assert gaps[0] > 0.2 and min(gaps) == pytest.approx(0, abs=1e-6)
    assert states[-1].bodies[0].x == pytest.approx(0.8 + states[-1].x - (0.8 - BLOCK.extent.left) + 0.06, abs=0.002)
    assert states[-1].bodies[0].y == pytest.approx(0.5, abs=1e-6)
    assert roll_out(states[-1], np.stack([action(-MOST, 0.0)] * 3))[-1].bodies == states[-1].bodies


def test_a_pushed_shape_pushes_another() -> None:
    other = Body(ShapeKind.CIRCLE, "red", Size.SMALL, 1.1, 0.5)
    last = roll_out(replace(STATE, bodies=(BLOCK, other)), np.stack([RIGHT] * 12))[-1]
    assert last.body("green").x > 0.9 and last.body("red").x > 1.15
    assert last.body("red").x > last.body("green").x + BLOCK.extent.right


@pytest.mark.parametrize("kind", ShapeKind)
def test_walls_hold_shapes_and_through_them_the_gripper(kind: ShapeKind) -> None:
    body = replace(BLOCK, kind=kind)
    rng = np.random.default_rng(0)
    vectors = np.stack([action(*(MOST * rng.normal((0.8, 0.1), 0.6)).tolist()) for _ in range(40)])
    for state in roll_out(replace(STATE, bodies=(body,)), vectors):
        shape = state.bodies[0]
        assert shape.extent.left - 1e-9 <= shape.x <= state.aspect - shape.extent.right + 1e-9
        assert shape.extent.top - 1e-9 <= shape.y <= 1 - shape.extent.bottom + 1e-9
        assert 0.05 < state.x < state.aspect - 0.05 and 0.05 < state.y < 0.95
        assert distance(state, "green") > -0.005


def test_a_picture_shows_the_gripper_above_the_shapes() -> None:
    clip = ClipFormat()
    frames = pictures(roll_out(STATE, np.stack([RIGHT] * 4)), clip)
    assert frames.shape == (5, 96, 160, 3)
    assert tuple(frames[0, 48, 29]) == GRIPPER and tuple(frames[0, 48, 77]) == COLOURS["green"]
    assert tuple(picture(replace(STATE, x=0.8), clip)[48, 77]) == GRIPPER


def test_a_shape_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no shape is red; there are green square"):
        simulator.distance(STATE, "red")
