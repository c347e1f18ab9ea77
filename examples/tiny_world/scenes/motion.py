"""How the shapes of a scene move: without friction, off the edges of the frame and off each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.collisions import overlap
from examples.tiny_world.scenes.scene import Body, FlawKind, Scene
from examples.tiny_world.scenes.shapes import Outline, outline

SUBSTEP = 1 / 240
"""The longest step of the simulation, in seconds."""


class EventKind(StrEnum):
    """What happens at a moment."""

    START = "start"
    BOUNCE = "bounce"
    CONTACT = "contact"


class Wall(StrEnum):
    """An edge of the frame; the values are the words of captions."""

    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True)
class Event:
    """Something that happens at a moment.

    Attributes:
        kind: what.
        seconds: when.
        body: index of the shape that it happens to; of a contact, of the one that moved.
        wall: of a bounce, which edge.
        other: of a contact, index of the other shape.
    """

    kind: EventKind
    seconds: float
    body: int
    wall: Wall | None = None
    other: int | None = None


@dataclass(frozen=True)
class Motion:
    """Where the shapes of a scene are.

    Attributes:
        positions: `[frames, bodies, 2]`, x and y in heights.
        before, after: `[bodies, 2]`, velocity when the clip begins and when it ends, in heights per second.
        events: in order of time.
    """

    positions: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    events: tuple[Event, ...]


@dataclass
class _Moving:
    """A shape in the simulation."""

    body: Body
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    waits: bool = True


def simulate(scene: Scene) -> Motion:
    """Move the shapes of a scene; a flaw changes what happens as it says."""
    return _Simulation(scene).run()


class _Simulation:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.moving = [_Moving(body, body.x, body.y) for body in scene.bodies]
        self.events: list[Event] = []
        self.flawed = False
        kind = None if scene.flaw is None else scene.flaw.kind
        self.without_walls = kind is FlawKind.THROUGH_WALL
        self.without_contact = kind is FlawKind.THROUGH_SHAPE

    def run(self) -> Motion:
        clip = self.scene.format
        substeps = max(1, math.ceil(1 / (clip.fps * SUBSTEP)))
        step = 1 / (clip.fps * substeps)
        positions = []
        self._start(0.0)
        before = self._velocities()
        for frame in range(clip.frames):
            self._break_laws(frame / clip.fps)
            positions.append([(item.x, item.y) for item in self.moving])
            for index in range(substeps if frame + 1 < clip.frames else 0):
                self._advance(frame / clip.fps + index * step, step)
        events = tuple(sorted(self.events, key=attrgetter("seconds")))
        return Motion(np.array(positions), before, self._velocities(), events)

    def _velocities(self) -> NDArray[np.float64]:
        return np.array([(item.vx, item.vy) for item in self.moving])

    def _start(self, time: float) -> None:
        for index, item in enumerate(self.moving):
            body = item.body
            if item.waits and time >= body.starts - 1e-9:
                item.vx, item.vy, item.waits = body.vx, body.vy, False
                if body.starts > 0 and (body.vx or body.vy):
                    self.events.append(Event(EventKind.START, body.starts, index))

    def _advance(self, time: float, step: float) -> None:
        self._start(time)
        for index, item in enumerate(self.moving):
            item.x += item.vx * step
            item.y += item.vy * step
            if not (self.without_walls and index == 0):
                self._bounce(index, item, time + step)
        if len(self.moving) > 1 and not self.without_contact:
            self._touch(time + step)

    def _bounce(self, index: int, item: _Moving, time: float) -> None:
        reach, aspect = item.body.extent, self.scene.format.aspect
        if item.x < reach.left and item.vx < 0:
            self._hit(index, Wall.LEFT, time - (reach.left - item.x) / -item.vx)
            item.x, item.vx = 2 * reach.left - item.x, -item.vx
        elif item.x > aspect - reach.right and item.vx > 0:
            self._hit(index, Wall.RIGHT, time - (item.x - aspect + reach.right) / item.vx)
            item.x, item.vx = 2 * (aspect - reach.right) - item.x, -item.vx
        if item.y < reach.top and item.vy < 0:
            self._hit(index, Wall.TOP, time - (reach.top - item.y) / -item.vy)
            item.y, item.vy = 2 * reach.top - item.y, -item.vy
        elif item.y > 1 - reach.bottom and item.vy > 0:
            self._hit(index, Wall.BOTTOM, time - (item.y - 1 + reach.bottom) / item.vy)
            item.y, item.vy = 2 * (1 - reach.bottom) - item.y, -item.vy

    def _hit(self, index: int, wall: Wall, seconds: float) -> None:
        self.events.append(Event(EventKind.BOUNCE, seconds, index, wall=wall))

    def _touch(self, time: float) -> None:
        """Let two shapes of equal mass exchange their velocities along the line of their centres."""
        first, second = self.moving[:2]
        dx, dy = second.x - first.x, second.y - first.y
        distance = math.hypot(dx, dy)
        if distance == 0:
            return
        closing = ((first.vx - second.vx) * dx + (first.vy - second.vy) * dy) / distance
        if closing <= 1e-9 or overlap(_outline_of(first), _outline_of(second)) is None:
            return
        moved = 0 if first.vx or first.vy else 1
        self.events.append(Event(EventKind.CONTACT, time, moved, other=1 - moved))
        for item, sign in ((first, -1), (second, 1)):
            item.vx += sign * closing * dx / distance
            item.vy += sign * closing * dy / distance
            item.waits = False

    def _break_laws(self, time: float) -> None:
        flaw, item = self.scene.flaw, self.moving[0]
        if flaw is None or self.flawed or time < flaw.seconds - 1e-9:
            return
        self.flawed = True
        if flaw.kind is FlawKind.JUMP:
            item.x, item.y = item.x + flaw.dx, item.y + flaw.dy
        elif flaw.kind is FlawKind.TURN:
            item.vx, item.vy = flaw.dx, flaw.dy


def _outline_of(item: _Moving) -> Outline:
    return outline(item.body.kind, item.body.size.radius, item.x, item.y)
