"""Draws scenes at random: what happens in them is chosen first, then everything else so that it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum

from numpy.random import Generator

from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.collisions import gap
from examples.tiny_world.scenes.motion import EventKind, Motion, simulate
from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.scene import STRAIGHT, Body, ClipFormat, Direction, Scene, Speed
from examples.tiny_world.scenes.shapes import ShapeKind, Size

DEFAULT_FORMAT = ClipFormat()
ATTEMPTS = 2000
APART = 0.04
"""The least distance between two shapes in the first frame, in heights."""
LEAST_TRAVEL = 0.08
"""The shortest way that counts as motion, in heights."""
EVENT_WITHIN = (0.3, 0.65)
"""The part of the clip in which an event may lie."""


class Topic(StrEnum):
    """What a scene is about."""

    STILL = "still"
    MOVE = "move"
    BOUNCE = "bounce"
    CONTACT = "contact"
    """Of two shapes; all other topics may have one or two."""
    START = "start"


def draw_scene(
    rng: Generator, topic: Topic | None = None, shapes: int | None = None, clip: ClipFormat = DEFAULT_FORMAT
) -> Scene:
    """A random scene without a flaw.

    Args:
        rng: all chance comes from it.
        topic: what happens; None draws one that the clip has time for.
        shapes: 1 or 2; None draws it.
        clip: size, length and rate.

    Raises:
        ValueError: no scene was found, as when the clip is too short for the topic.
    """
    chosen = topic or (Topic.STILL if clip.frames == 1 else one_of(rng, list(Topic)))
    for _ in range(ATTEMPTS):
        count = 2 if chosen is Topic.CONTACT else shapes or int(rng.integers(1, 3))
        bodies = _DRAWERS[chosen](rng, _looks(rng, count), clip)
        if bodies is None or not _is_possible(bodies, clip):
            continue
        scene = Scene(bodies, one_of(rng, list(GROUNDS)), clip)
        if _shows(chosen, scene, simulate(scene)):
            return scene
    raise ValueError(f"no scene was found for {chosen} with {clip}; use more frames or another topic")


def _looks(rng: Generator, count: int) -> list[Body]:
    colours = rng.choice(list(COLOURS), count, replace=False).tolist()
    return [Body(one_of(rng, list(ShapeKind)), colour, one_of(rng, list(Size)), 0.0, 0.0) for colour in colours]


def _somewhere(rng: Generator, body: Body, clip: ClipFormat) -> Body:
    reach = body.extent
    x = rng.uniform(reach.left, clip.aspect - reach.right)
    return replace(body, x=float(x), y=float(rng.uniform(reach.top, 1 - reach.bottom)))


def _moving(rng: Generator, body: Body, direction: Direction | None = None) -> Body:
    to = direction or one_of(rng, list(Direction))
    speed = one_of(rng, list(Speed)).heights_per_second
    return replace(body, vx=speed * to.vector[0], vy=speed * to.vector[1])


def _still(rng: Generator, bodies: list[Body], clip: ClipFormat) -> tuple[Body, ...]:
    return tuple(_somewhere(rng, body, clip) for body in bodies)


def _move(rng: Generator, bodies: list[Body], clip: ClipFormat) -> tuple[Body, ...] | None:
    """The first moves; the second moves or is still."""
    moving = [index == 0 or rng.random() < 0.5 for index in range(len(bodies))]
    placed = [
        _on_the_way(rng, _moving(rng, body), clip, 0.0) if moves else _somewhere(rng, body, clip)
        for body, moves in zip(bodies, moving, strict=True)
    ]
    return None if None in placed else tuple(body for body in placed if body is not None)


def _start(rng: Generator, bodies: list[Body], clip: ClipFormat) -> tuple[Body, ...] | None:
    """The first starts to move during the clip; the second is still."""
    starts = float(rng.uniform(*EVENT_WITHIN)) * clip.last_frame
    first = _on_the_way(rng, replace(_moving(rng, bodies[0]), starts=starts), clip, starts)
    return None if first is None else (first, *(_somewhere(rng, body, clip) for body in bodies[1:]))


def _on_the_way(rng: Generator, body: Body, clip: ClipFormat, starts: float) -> Body | None:
    """The moving body at a place from which it touches no edge; None where there is no such place."""
    seconds, reach = clip.last_frame - starts, body.extent
    dx, dy = body.vx * seconds, body.vy * seconds
    left, right = reach.left + max(-dx, 0), clip.aspect - reach.right - max(dx, 0)
    top, bottom = reach.top + max(-dy, 0), 1 - reach.bottom - max(dy, 0)
    if left >= right or top >= bottom:
        return None
    return replace(body, x=float(rng.uniform(left, right)), y=float(rng.uniform(top, bottom)))


def _bounce(rng: Generator, bodies: list[Body], clip: ClipFormat) -> tuple[Body, ...] | None:
    """The first bounces off an edge; the second is still."""
    body = _moving(rng, bodies[0])
    at_wall, reach = _somewhere(rng, body, clip), body.extent
    x = at_wall.x if abs(body.vx) < 1e-9 else reach.left if body.vx < 0 else clip.aspect - reach.right
    y = at_wall.y if abs(body.vy) < 1e-9 else reach.top if body.vy < 0 else 1 - reach.bottom
    if abs(body.vx) > 1e-9 and abs(body.vy) > 1e-9:
        x, y = (x, at_wall.y) if rng.random() < 0.5 else (at_wall.x, y)
    seconds = float(rng.uniform(*EVENT_WITHIN)) * clip.last_frame
    first = replace(body, x=x - body.vx * seconds, y=y - body.vy * seconds)
    return (first, *(_somewhere(rng, other, clip) for other in bodies[1:]))


def _contact(rng: Generator, bodies: list[Body], clip: ClipFormat) -> tuple[Body, ...] | None:
    """The first runs into the second, which is still or comes towards it."""
    to = one_of(rng, STRAIGHT)
    first, second = _moving(rng, bodies[0], to), bodies[1]
    if rng.random() < 0.5:
        second = _moving(rng, second, to.opposite)
    apart = first.reach(to) + second.reach(to.opposite)
    seconds = float(rng.uniform(*EVENT_WITHIN)) * clip.last_frame
    meeting = _somewhere(rng, first, clip)
    x, y = meeting.x + to.vector[0] * apart, meeting.y + to.vector[1] * apart
    return (
        replace(first, x=meeting.x - first.vx * seconds, y=meeting.y - first.vy * seconds),
        replace(second, x=x - second.vx * seconds, y=y - second.vy * seconds),
    )


_Drawer = Callable[[Generator, list[Body], ClipFormat], tuple[Body, ...] | None]
_DRAWERS: Mapping[Topic, _Drawer] = {
    Topic.STILL: _still,
    Topic.MOVE: _move,
    Topic.BOUNCE: _bounce,
    Topic.CONTACT: _contact,
    Topic.START: _start,
}
_EVENTS: Mapping[Topic, tuple[EventKind, ...]] = {
    Topic.STILL: (),
    Topic.MOVE: (),
    Topic.BOUNCE: (EventKind.BOUNCE,),
    Topic.CONTACT: (EventKind.CONTACT,),
    Topic.START: (EventKind.START,),
}


def _is_possible(bodies: tuple[Body, ...], clip: ClipFormat) -> bool:
    """Whether all are inside of the frame and apart from each other when the clip begins."""
    for body in bodies:
        reach = body.extent
        if not reach.left <= body.x <= clip.aspect - reach.right or not reach.top <= body.y <= 1 - reach.bottom:
            return False
    return len(bodies) < 2 or gap(bodies[0].outline, bodies[1].outline) >= APART


def _shows(topic: Topic, scene: Scene, motion: Motion) -> bool:
    """Whether exactly what the topic says happens, inside of the frame, and every motion is long enough to be seen."""
    clip = scene.format
    if tuple(event.kind for event in motion.events) != _EVENTS[topic]:
        return False
    if any(event.body != 0 for event in motion.events):
        return False
    times = [0.0, *(event.seconds for event in motion.events), clip.last_frame]
    for body, places, before, after in zip(
        scene.bodies, motion.positions.swapaxes(0, 1), motion.before, motion.after, strict=True
    ):
        reach, (left, top), (right, bottom) = body.extent, places.min(axis=0), places.max(axis=0)
        slack = (left - reach.left, top - reach.top, clip.aspect - reach.right - right, 1 - reach.bottom - bottom)
        if min(slack) < -1e-6:
            return False
        ways = (math.hypot(*before) * (times[1] - times[0]), math.hypot(*after) * (times[-1] - times[-2]))
        if any(0 < way < LEAST_TRAVEL for way in ways):
            return False
    return True
