"""Motion from places: straight, bent, with jitter, with gaps."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.measure.paths import read_path
from examples.tiny_world.scenes.facts import MotionKind
from examples.tiny_world.scenes.scene import Direction, Speed

FPS = 12.0
TIMES = np.arange(9) / FPS


def _line(vx: float, vy: float, bend: float = 9.0, wx: float = 0.0, wy: float = 0.0) -> np.ndarray:
    before, after = np.minimum(TIMES, bend)[:, None], np.clip(TIMES - bend, 0, None)[:, None]
    return (0.5, 0.5) + before * (vx, vy) + after * (wx, wy)


@pytest.mark.parametrize("jitter", [0.0, 0.006])
def test_straight_motion(jitter: float) -> None:
    for seed, direction in enumerate(Direction):
        x, y = direction.vector
        places = _line(0.5 * x, 0.5 * y) + np.random.default_rng(seed).normal(0, jitter, (9, 2))
        found = read_path(places, FPS)
        assert found is not None and found.path.kind is MotionKind.MOVES
        assert found.path.direction is direction and found.path.speed is Speed.MEDIUM
        assert found.confidence == pytest.approx(1 - 10 * found.off) and found.off < 0.012


def test_what_only_trembles_is_still() -> None:
    found = read_path(_line(0, 0) + np.random.default_rng(0).normal(0, 0.006, (9, 2)), FPS)
    assert found is not None and found.path.kind is MotionKind.STILL and found.before == (0, 0)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ((0.6, 0.0), (-0.6, 0.0), MotionKind.TURNS),
        ((0.5, 0.5), (0.5, -0.5), MotionKind.TURNS),
        ((0.6, 0.0), (0.0, 0.0), MotionKind.STOPS),
        ((0.0, 0.0), (0.0, 0.6), MotionKind.STARTS),
    ],
)
def test_a_bend_is_found_with_its_time(
    before: tuple[float, float], after: tuple[float, float], kind: MotionKind
) -> None:
    found = read_path(_line(*before, 0.3, *after), FPS)
    assert found is not None and found.path.kind is kind
    assert found.bend == pytest.approx(0.3, abs=0.25 / FPS)
    for read, true in ((found.before, before), (found.after, after)):
        assert read == pytest.approx(true, abs=0.05)


def test_frames_in_which_nothing_is_seen_are_left_out() -> None:
    places = _line(0.5, 0.0)
    places[[0, 4]] = np.nan
    found = read_path(places, FPS)
    assert found is not None and found.before == pytest.approx((0.5, 0.0))
    places[2:] = np.nan
    assert read_path(places, FPS) is None


def test_scattered_places_have_no_confidence() -> None:
    found = read_path(np.random.default_rng(0).uniform(0, 1, (9, 2)), FPS)
    assert found is not None and found.confidence == 0
