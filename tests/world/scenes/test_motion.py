"""How shapes move: against the formulas of free motion, reflection and elastic collision."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.scenes.motion import EventKind, Wall, simulate
from examples.tiny_world.scenes.scene import Body, ClipFormat, Flaw, FlawKind, Scene
from examples.tiny_world.scenes.shapes import ShapeKind, Size

CLIP = ClipFormat(frames=17, fps=8.0)


def _body(x: float = 0.8, y: float = 0.5, vx: float = 0.0, vy: float = 0.0, colour: str = "red", **more: float) -> Body:
    return Body(ShapeKind.SQUARE, colour, Size.SMALL, x, y, vx, vy, **more)


def _scene(*bodies: Body, flaw: Flaw | None = None) -> Scene:
    return Scene(bodies, format=CLIP, flaw=flaw)


def test_free_motion_is_straight_and_even() -> None:
    motion = simulate(_scene(_body(0.4, 0.2, 0.3, 0.2)))
    times = np.arange(17)[:, None] / 8
    assert np.abs(motion.positions[:, 0] - ((0.4, 0.2) + times * (0.3, 0.2))).max() < 1e-9
    assert motion.events == ()


@pytest.mark.parametrize(
    ("vx", "vy", "wall"),
    [(-0.8, 0.0, Wall.LEFT), (0.8, 0.0, Wall.RIGHT), (0.0, -0.4, Wall.TOP), (0.0, 0.4, Wall.BOTTOM)],
)
def test_a_wall_turns_a_shape_back_when_its_edge_is_there(vx: float, vy: float, wall: Wall) -> None:
    body = _body(vx=vx, vy=vy)
    motion = simulate(_scene(body))
    half = body.extent.right
    way = {Wall.LEFT: 0.8, Wall.RIGHT: CLIP.aspect - 0.8}.get(wall, 0.5) - half
    (event,) = motion.events
    assert (event.kind, event.body, event.wall) == (EventKind.BOUNCE, 0, wall)
    assert event.seconds == pytest.approx(way / abs(vx or vy))
    assert motion.after[0] == pytest.approx((-vx, -vy))
    beyond = abs(vx or vy) * 2.0 - way
    assert np.abs(motion.positions[-1, 0] - (0.8, 0.5)).max() == pytest.approx(abs(way - beyond))


def test_a_collision_exchanges_velocities() -> None:
    motion = simulate(_scene(_body(0.3, vx=0.5), _body(1.0, colour="blue")))
    (event,) = motion.events
    way = 0.7 - 2 * _body().extent.right
    assert (event.kind, event.body, event.other) == (EventKind.CONTACT, 0, 1)
    assert event.seconds == pytest.approx(way / 0.5, abs=1 / 120)
    assert motion.after == pytest.approx(np.array([(0.0, 0.0), (0.5, 0.0)]), abs=1e-9)


def test_the_one_that_moved_is_named_first_whatever_its_place_in_the_list() -> None:
    motion = simulate(_scene(_body(0.3), _body(1.0, vx=-0.5, colour="blue")))
    assert (motion.events[0].body, motion.events[0].other) == (1, 0)


def test_a_shape_waits_until_it_starts() -> None:
    motion = simulate(_scene(_body(vx=0.4, starts=1.1)))
    assert [(event.kind, event.seconds) for event in motion.events] == [(EventKind.START, 1.1)]
    assert motion.positions[8, 0, 0] == 0.8
    assert motion.positions[-1, 0, 0] == pytest.approx(0.8 + 0.4 * 0.9, abs=0.4 / 240)
    assert (motion.before == 0).all()


def test_energy_and_momentum_are_kept_in_a_crowded_frame() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        vx, vy = rng.uniform(-1.5, 1.5, 2).tolist()
        motion = simulate(_scene(_body(0.4, 0.5, vx, vy), _body(1.1, 0.6, -vy, vx, colour="blue")))
        assert (motion.after**2).sum() == pytest.approx((motion.before**2).sum())
        assert motion.events
        assert [event.seconds for event in motion.events] == sorted(event.seconds for event in motion.events)


@pytest.mark.parametrize("kind", [FlawKind.JUMP, FlawKind.TURN])
def test_a_flaw_changes_the_motion_at_its_time(kind: FlawKind) -> None:
    flawed = simulate(_scene(_body(0.4, 0.3, 0.2), flaw=Flaw(kind, 1.0, 0.0, 0.3))).positions[:, 0]
    right = simulate(_scene(_body(0.4, 0.3, 0.2))).positions[:, 0]
    assert (flawed[:8] == right[:8]).all()
    if kind is FlawKind.JUMP:
        assert np.abs(flawed[8:] - right[8:] - (0.0, 0.3)).max() < 1e-9
    else:
        assert flawed[-1] == pytest.approx((0.6, 0.6))


def test_flaws_take_walls_and_contacts_away() -> None:
    gone = simulate(_scene(_body(vx=0.9), flaw=Flaw(FlawKind.THROUGH_WALL, 0.5)))
    assert gone.positions[-1, 0, 0] == pytest.approx(0.8 + 1.8) and gone.events == ()
    through = _scene(_body(0.3, vx=0.5), _body(1.0, colour="blue"), flaw=Flaw(FlawKind.THROUGH_SHAPE, 1.0))
    assert simulate(through).positions[-1, 0, 0] == pytest.approx(1.3)
