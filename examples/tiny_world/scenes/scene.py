"""What a clip shows: a typed value from which frames, sound, captions and answers follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.shapes import Extent, Outline, ShapeKind, Size, extent, outline

SAMPLING_RATE = 48_000


class Direction(StrEnum):
    """The eight directions; the values are the words of captions."""

    RIGHT = "to the right"
    DOWN_RIGHT = "down and to the right"
    DOWN = "down"
    DOWN_LEFT = "down and to the left"
    LEFT = "to the left"
    UP_LEFT = "up and to the left"
    UP = "up"
    UP_RIGHT = "up and to the right"

    @property
    def vector(self) -> tuple[float, float]:
        """Of length 1; y points down."""
        angle = 0.25 * math.pi * list(Direction).index(self)
        return round(math.cos(angle), 12), round(math.sin(angle), 12)

    @property
    def opposite(self) -> Direction:
        """The way back."""
        return list(Direction)[(list(Direction).index(self) + 4) % 8]

    @staticmethod
    def of(x: float, y: float) -> Direction:
        """The direction nearest to a vector that is not zero."""
        return list(Direction)[round(math.atan2(y, x) / (0.25 * math.pi)) % 8]


STRAIGHT = (Direction.LEFT, Direction.RIGHT, Direction.UP, Direction.DOWN)
"""The directions along the edges of the frame."""


class Speed(StrEnum):
    """How fast a shape moves; the values are the words of captions."""

    SLOW = "slowly"
    MEDIUM = "steadily"
    FAST = "quickly"

    @property
    def heights_per_second(self) -> float:
        """In heights of the frame per second."""
        return {Speed.SLOW: 0.25, Speed.MEDIUM: 0.5, Speed.FAST: 0.95}[self]

    @staticmethod
    def of(heights_per_second: float) -> Speed:
        """The nearest speed, by ratio."""
        value = max(heights_per_second, 1e-6)
        return min(Speed, key=lambda speed: abs(math.log(value / speed.heights_per_second)))


@dataclass(frozen=True)
class ClipFormat:
    """The size of a clip: width and height in pixels, number of frames, frames per second."""

    width: int = 160
    height: int = 96
    frames: int = 9
    fps: float = 12.0

    @property
    def aspect(self) -> float:
        """Width in heights."""
        return self.width / self.height

    @property
    def last_frame(self) -> float:
        """Time of the last frame, in seconds."""
        return (self.frames - 1) / self.fps

    @property
    def samples(self) -> int:
        """Length of the sound, cut to a whole number as the pipeline does (spec 7.4)."""
        return int(self.frames / self.fps * SAMPLING_RATE)


@dataclass(frozen=True)
class Body:
    """One shape.

    Attributes:
        kind, colour, size: how it looks.
        x, y: its centre of mass in the first frame, in heights.
        vx, vy: its velocity, in heights per second.
        starts: when it begins to move, in seconds.
    """

    kind: ShapeKind
    colour: str
    size: Size
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    starts: float = 0.0

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise ValueError(f"colour is {self.colour!r}; expected one of {', '.join(COLOURS)}")

    @property
    def extent(self) -> Extent:
        """How far it reaches from its centre of mass."""
        return extent(self.kind, self.size.radius)

    def reach(self, direction: Direction) -> float:
        """How far it reaches from its centre of mass to the left, to the right, up or down."""
        reach = self.extent
        sides = {Direction.LEFT: reach.left, Direction.RIGHT: reach.right, Direction.UP: reach.top}
        return sides.get(direction, reach.bottom)

    @property
    def outline(self) -> Outline:
        """Where it is in the first frame."""
        return outline(self.kind, self.size.radius, self.x, self.y)

    @property
    def name(self) -> str:
        """Such as `red circle`."""
        return f"{self.colour} {self.kind}"


class FlawKind(StrEnum):
    """In which way a clip breaks the laws of this world."""

    JUMP = "jump"
    """A shape is suddenly somewhere else."""
    TURN = "turn"
    """A moving shape changes its direction although nothing touches it."""
    THROUGH_WALL = "through wall"
    """A shape leaves the frame instead of bouncing off its edge."""
    THROUGH_SHAPE = "through shape"
    """Two shapes pass through each other."""
    RECOLOUR = "recolour"
    """A shape changes its colour."""


@dataclass(frozen=True)
class Flaw:
    """What is wrong with the first shape of a scene.

    Attributes:
        kind: in which way.
        seconds: when it happens; of a passage, when the bounce should have been.
        dx, dy: of a jump, by how much; of a turn, the new velocity; in heights.
        colour: of a recolouring, the new colour.
    """

    kind: FlawKind
    seconds: float
    dx: float = 0.0
    dy: float = 0.0
    colour: str = ""


@dataclass(frozen=True)
class Scene:
    """One clip.

    Attributes:
        bodies: one or two shapes of different colours; the first one is heard.
        ground: a name of `GROUNDS`.
        format: size, length and rate.
        flaw: what is physically wrong with it; None where nothing is.
    """

    bodies: tuple[Body, ...]
    ground: str = "gray"
    format: ClipFormat = ClipFormat()
    flaw: Flaw | None = None

    def __post_init__(self) -> None:
        if not self.bodies:
            raise ValueError("bodies is empty; expected at least one")
        if len({body.colour for body in self.bodies}) < len(self.bodies):
            raise ValueError("bodies share a colour; expected one for each, or they cannot be told apart")
        if self.ground not in GROUNDS:
            raise ValueError(f"ground is {self.ground!r}; expected one of {', '.join(GROUNDS)}")
