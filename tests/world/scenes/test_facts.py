"""Facts of scenes that are known."""

from __future__ import annotations

import pytest

from examples.tiny_world.scenes.facts import Column, MotionKind, Path, Row, column_of, facts_of, row_of
from examples.tiny_world.scenes.scene import Body, ClipFormat, Direction, Scene, Speed
from examples.tiny_world.scenes.shapes import ShapeKind, Size


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.0, 0.0), (0.0, 0.0), Path(MotionKind.STILL)),
        ((0.5, 0.0), (0.5, 0.0), Path(MotionKind.MOVES, Direction.RIGHT, Direction.RIGHT, Speed.MEDIUM)),
        ((0.0, 0.0), (0.0, -0.9), Path(MotionKind.STARTS, None, Direction.UP, Speed.FAST)),
        ((-0.2, 0.2), (0.0, 0.0), Path(MotionKind.STOPS, Direction.DOWN_LEFT, None, Speed.SLOW)),
        ((0.5, 0.0), (-0.5, 0.0), Path(MotionKind.TURNS, Direction.RIGHT, Direction.LEFT, Speed.MEDIUM)),
    ],
)
def test_a_path_follows_from_two_velocities(
    before: tuple[float, float], after: tuple[float, float], expected: Path
) -> None:
    assert Path.of(before, after) == expected


def test_facts_of_a_bounce() -> None:
    body = Body(ShapeKind.TRIANGLE, "cyan", Size.LARGE, 1.2, 0.5, vx=0.95)
    facts = facts_of(Scene((body,), "black", ClipFormat(frames=9, fps=12.0)))
    assert facts.ground == "black" and facts.shapes[0].name == "cyan triangle"
    path = facts.shapes[0].path
    assert (path.kind, path.direction, path.direction_after) == (MotionKind.TURNS, Direction.RIGHT, Direction.LEFT)
    assert len(facts.events) == 1


def test_thirds_of_the_frame() -> None:
    assert [column_of(x, 1.5) for x in (-0.1, 0.4, 0.6, 1.1, 1.6)] == [
        Column.LEFT,
        Column.LEFT,
        Column.MIDDLE,
        Column.RIGHT,
        Column.RIGHT,
    ]
    assert [row_of(y) for y in (0.1, 0.5, 0.99)] == [Row.TOP, Row.CENTER, Row.BOTTOM]
