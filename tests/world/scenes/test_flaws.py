"""Implausible scenes break the law that they name, and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples.tiny_world.scenes.flaws import JUMPS, draw_flawed
from examples.tiny_world.scenes.motion import simulate
from examples.tiny_world.scenes.render import render
from examples.tiny_world.scenes.scene import FlawKind, Scene


def _scenes(kind: FlawKind) -> list[Scene]:
    return [draw_flawed(np.random.default_rng(seed), kind) for seed in range(5)]


@pytest.mark.parametrize("kind", FlawKind)
def test_a_flaw_is_seen(kind: FlawKind) -> None:
    for scene in _scenes(kind):
        assert scene.flaw is not None and scene.flaw.kind is kind
        flawed, right = render(scene), render(replace(scene, flaw=None))
        first = scene.flaw.seconds * scene.format.fps
        assert 0 < first <= scene.format.frames - 3
        differs = [bool((one != other).any()) for one, other in zip(flawed, right, strict=True)]
        assert not any(differs[: int(first)]) and all(differs[int(first) + 2 :])


def test_a_jump_is_longer_than_any_step() -> None:
    for scene in _scenes(FlawKind.JUMP):
        steps = np.linalg.norm(np.diff(simulate(scene).positions[:, 0], axis=0), axis=1)
        assert np.sort(steps)[-1] > JUMPS - 0.15 > 1.5 * np.sort(steps)[-2]


def test_a_turn_happens_away_from_edges_and_shapes() -> None:
    for scene in _scenes(FlawKind.TURN):
        motion = simulate(scene)
        assert motion.events == () and np.abs(motion.before[0] - motion.after[0]).max() > 0.1
        steps = np.linalg.norm(np.diff(motion.positions[:, 0], axis=0), axis=1)
        turn = round((scene.flaw.seconds if scene.flaw else 0) * scene.format.fps)
        assert min(steps[:turn].sum(), steps[turn:].sum()) >= 0.08 - 1e-6


def test_shapes_pass_through_walls_and_each_other() -> None:
    for scene in _scenes(FlawKind.THROUGH_WALL):
        reach, (x, y) = scene.bodies[0].extent, simulate(scene).positions[-1, 0]
        out = (reach.left - x, reach.top - y, x - scene.format.aspect + reach.right, y - 1 + reach.bottom)
        assert max(out) > 0.05
    for scene in _scenes(FlawKind.THROUGH_SHAPE):
        positions = simulate(scene).positions
        before, after = positions[0, 0] - positions[0, 1], positions[-1, 0] - positions[-1, 1]
        assert np.linalg.norm(after - before) > 0.15


def test_every_kind_is_drawn_and_the_seed_decides() -> None:
    kinds = {scene.flaw.kind for scene in map(draw_flawed, map(np.random.default_rng, range(25))) if scene.flaw}
    assert kinds == set(FlawKind)
    assert draw_flawed(np.random.default_rng(1)) == draw_flawed(np.random.default_rng(1))
