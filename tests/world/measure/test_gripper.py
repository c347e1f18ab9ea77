"""The gripper is found wherever it is, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.agent.episodes import dynamics_episode
from examples.tiny_world.measure.gripper import gripper_path, path_error
from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.render import draw, gripper_at, shape_at
from examples.tiny_world.scenes.scene import ClipFormat
from examples.tiny_world.scenes.shapes import ShapeKind
from tests.world.damage import blurred, noisy


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_it_is_found_on_every_ground_and_on_every_shape(ground: str, colour: str) -> None:
    rng = np.random.default_rng(0)
    shape = shape_at(ShapeKind.SQUARE, COLOURS[colour], 0.17, 0.8, 0.5)
    for x, y in ((0.8, 0.5), (0.62, 0.5), (0.3, 0.2)):
        picture = draw(GROUNDS[ground], [shape, *gripper_at(x, y)], 160, 96)
        for frames in (picture[None], noisy(blurred(picture[None]), rng)):
            assert gripper_path(frames)[0] == pytest.approx((x, y), abs=0.012)


def test_the_path_of_an_episode_is_read() -> None:
    rng = np.random.default_rng(1)
    for seed in range(10):
        episode = dynamics_episode(np.random.default_rng(seed))
        true = np.array([(state.x, state.y) for state in episode.states])
        for frames, most in ((episode.frames, 0.002), (noisy(blurred(episode.frames), rng), 0.01)):
            error = path_error(gripper_path(frames), true, episode.format.aspect)
            assert error is not None and error < most


@pytest.mark.parametrize("height", [64, 192, 480])
def test_other_sizes_are_read(height: int) -> None:
    episode = dynamics_episode(np.random.default_rng(0), clip=ClipFormat(height * 5 // 3 // 2 * 2, height))
    true = np.array([(state.x, state.y) for state in episode.states])
    error = path_error(gripper_path(episode.frames), true, episode.format.aspect)
    assert error is not None and error < 0.003


def test_where_there_is_none_none_is_found() -> None:
    shapes = [shape_at(ShapeKind.CIRCLE, COLOURS[name], 0.17, x, 0.5) for name, x in (("yellow", 0.3), ("pink", 1.1))]
    large = shape_at(ShapeKind.CIRCLE, (250, 250, 250), 0.2, 0.7, 0.5)
    frames = np.stack([draw(GROUNDS["gray"], things, 160, 96) for things in (shapes, [large])])
    path = gripper_path(frames)
    assert np.isnan(path).all() and path_error(path, np.zeros((2, 2)), 5 / 3) is None


def test_frames_without_it_count_as_far_off() -> None:
    true = np.zeros((2, 2))
    assert path_error(np.array([(0.0, 0.0), (np.nan, np.nan)]), true, 5 / 3) == pytest.approx(0.25)
    assert path_error(np.array([(0.1, 0.0), (0.1, 0.0)]), true, 2.0) == pytest.approx(0.05)
