"""What is true of a scene: the facts that captions state and that `measure` reads from a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from examples.tiny_world.scenes.motion import Event, Motion, simulate
from examples.tiny_world.scenes.scene import Direction, Scene, Speed
from examples.tiny_world.scenes.shapes import ShapeKind, Size

STILL_BELOW = 0.03
"""Speed below which a shape counts as still, in heights per second."""


class MotionKind(StrEnum):
    """How a shape moves during a clip."""

    STILL = "still"
    MOVES = "moves"
    """In one direction all the time."""
    STARTS = "starts"
    """It is still first, then moves."""
    STOPS = "stops"
    TURNS = "turns"
    """It moves on in another direction."""


class Column(StrEnum):
    """A third of the frame's width."""

    LEFT = "left"
    MIDDLE = "middle"
    RIGHT = "right"


class Row(StrEnum):
    """A third of the frame's height."""

    TOP = "top"
    CENTER = "center"
    BOTTOM = "bottom"


@dataclass(frozen=True)
class Path:
    """How a shape moves.

    Attributes:
        kind: in which way.
        direction: where to, first; None if it is still at the beginning.
        direction_after: where to in the end; None if it is still in the end.
        speed: of its first motion; None if it never moves.
    """

    kind: MotionKind
    direction: Direction | None = None
    direction_after: Direction | None = None
    speed: Speed | None = None

    @staticmethod
    def of(before: tuple[float, float], after: tuple[float, float], still: float = STILL_BELOW) -> Path:
        """The path of a shape with these velocities at the beginning and in the end, in heights per second."""
        first, last = math.hypot(*before), math.hypot(*after)
        direction = Direction.of(*before) if first > still else None
        direction_after = Direction.of(*after) if last > still else None
        if direction is None and direction_after is None:
            return Path(MotionKind.STILL)
        speed = Speed.of(first if direction is not None else last)
        if direction is None:
            return Path(MotionKind.STARTS, None, direction_after, speed)
        if direction_after is None:
            return Path(MotionKind.STOPS, direction, None, speed)
        kind = MotionKind.MOVES if direction is direction_after else MotionKind.TURNS
        return Path(kind, direction, direction_after, speed)


@dataclass(frozen=True)
class ShapeFacts:
    """What is true of one shape; `x` and `y` are its centre in the first frame, in heights."""

    kind: ShapeKind
    colour: str
    size: Size
    x: float
    y: float
    path: Path

    @property
    def name(self) -> str:
        """Such as `red circle`."""
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True)
class Facts:
    """What is true of a clip.

    Attributes:
        shapes: in the order of the scene.
        ground: its colour.
        aspect: width in heights.
        events: in order of time.
    """

    shapes: tuple[ShapeFacts, ...]
    ground: str
    aspect: float
    events: tuple[Event, ...]


def facts_of(scene: Scene, motion: Motion | None = None) -> Facts:
    """The facts of a scene; `motion` is what `simulate` says, and None asks it."""
    moved = simulate(scene) if motion is None else motion
    shapes = tuple(
        ShapeFacts(body.kind, body.colour, body.size, body.x, body.y, Path.of(tuple(before), tuple(after)))
        for body, before, after in zip(scene.bodies, moved.before.tolist(), moved.after.tolist(), strict=True)
    )
    return Facts(shapes, scene.ground, scene.format.aspect, moved.events)


def column_of(x: float, aspect: float) -> Column:
    """The third of the width that a place lies in."""
    return list(Column)[min(max(int(3 * x / aspect), 0), 2)]


def row_of(y: float) -> Row:
    """The third of the height that a place lies in."""
    return list(Row)[min(max(int(3 * y), 0), 2)]
