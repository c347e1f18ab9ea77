"""Holds what a clip shows against what it should show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from examples.tiny_world.measure.clip import Seen, SeenShape
from examples.tiny_world.scenes.facts import Facts, ShapeFacts
from examples.tiny_world.scenes.sound import PITCH_CLASSES

NEAR = 0.1
"""How far a shape may be from where it should be, in heights."""
IN_TIME = 0.1
"""How far the beginning of a tone may be from when it should be, in seconds."""


@dataclass(frozen=True)
class ShapeCheck:
    """Which facts of a shape hold; all are False where the clip shows too few shapes."""

    colour: bool = False
    kind: bool = False
    size: bool = False
    place: bool = False
    motion: bool = False
    """The kind of motion and both directions."""
    direction: bool = False
    """The first direction, or that it has none."""
    speed: bool = False


@dataclass(frozen=True)
class ClipCheck:
    """Which facts of a clip hold."""

    shapes: tuple[ShapeCheck, ...]
    count: bool
    ground: bool

    def all(self, *names: str) -> bool:
        """Whether these facts hold of every shape, such as `colour` and `kind`."""
        return all(getattr(shape, name) for shape in self.shapes for name in names)


def compare(facts: Facts, seen: Seen) -> ClipCheck:
    """Which facts hold; each shape is held against the seen one of its colour, else against one that is left."""
    left = list(seen.shapes)
    pairs: list[SeenShape | None] = []
    for shape in facts.shapes:
        found = next((one for one in left if one.colour == shape.colour), None)
        pairs.append(found)
        if found is not None:
            left.remove(found)
    matched = [found or (left.pop(0) if left else None) for found in pairs]
    checks = tuple(_check(shape, found) for shape, found in zip(facts.shapes, matched, strict=True))
    return ClipCheck(checks, seen.count == len(facts.shapes), seen.ground == facts.ground)


def expected_onset(facts: Facts, seen: Seen) -> float:
    """When the tone of a clip should begin by what the clip shows, in seconds.

    A prompt says that a shape bounces, not when. So it is when the first shape that moves is seen to turn, stop or
    start, if by the facts one does.
    """
    if not facts.events:
        return 0.0
    shape = seen.of_colour(facts.shapes[facts.events[0].body].colour)
    bend = None if shape is None or shape.motion is None else shape.motion.bend
    return facts.events[0].seconds if bend is None else bend


def is_pitch_right(facts: Facts, seen: Seen) -> bool:
    """Whether the tone is that of the first shape's colour."""
    return seen.tone is not None and seen.tone.pitch_class == PITCH_CLASSES[facts.shapes[0].colour]


def is_onset_right(facts: Facts, seen: Seen) -> bool:
    """Whether the tone begins when it should by what the clip shows."""
    return seen.tone is not None and abs(seen.tone.onset - expected_onset(facts, seen)) <= IN_TIME


def _check(shape: ShapeFacts, found: SeenShape | None) -> ShapeCheck:
    if found is None:
        return ShapeCheck()
    x, y = found.first_place
    path = None if found.motion is None else found.motion.path
    return ShapeCheck(
        colour=found.colour == shape.colour,
        kind=found.kind is shape.kind,
        size=found.size is shape.size,
        place=math.hypot(x - shape.x, y - shape.y) <= NEAR,
        motion=path is not None
        and (path.kind, path.direction, path.direction_after)
        == (shape.path.kind, shape.path.direction, shape.path.direction_after),
        direction=path is not None and path.direction is shape.path.direction,
        speed=path is not None and path.speed is shape.path.speed,
    )
