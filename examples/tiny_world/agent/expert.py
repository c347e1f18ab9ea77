"""Tasks for the gripper, and a scripted expert that does them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.random import Generator

from examples.tiny_world.agent import simulator
from examples.tiny_world.agent.simulator import Actions, State
from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.collisions import gap
from examples.tiny_world.scenes.draw import DEFAULT_FORMAT, Topic, draw_scene
from examples.tiny_world.scenes.render import GRIPPER_RADIUS
from examples.tiny_world.scenes.scene import STRAIGHT, Body, ClipFormat, Direction
from examples.tiny_world.scenes.shapes import ShapeKind

Place = tuple[float, float]
TOUCHES = 0.02
"""The largest distance that counts as touching, in heights."""
PUSHED = 0.15
"""How far a shape has to be pushed, in heights."""
CLEARANCE = 0.03
"""What the expert keeps between the gripper and what it goes around, in heights."""
ARRIVED = 0.01
"""The largest distance from a place at which the gripper is there, in heights."""
FAR = 0.2
"""The least distance from which a shape is to be reached, in heights."""
MOST_STEPS = 32
"""The expert does every task that is drawn in so many steps or fewer: four chunks of eight."""
ROOM = PUSHED + 0.05
"""Space that a shape has in the direction in which it is to be pushed, in heights."""


class Verb(StrEnum):
    """What the gripper is to do with a shape."""

    REACH = "reach"
    PUSH = "push"


@dataclass(frozen=True)
class Task:
    """What the gripper is to do.

    Attributes:
        verb: with a shape.
        colour: of the shape.
        kind: of the shape, for its name.
        direction: of a push, where to: left, right, up or down.
    """

    verb: Verb
    colour: str
    kind: ShapeKind
    direction: Direction | None = None

    @property
    def instruction(self) -> str:
        """As a sentence."""
        thing = f"the {self.colour} {self.kind}"
        return f"Reach {thing}." if self.direction is None else f"Push {thing} {self.direction}."

    def is_done(self, start: State, now: State) -> bool:
        """Whether it is done now, having begun at `start`."""
        if self.direction is None:
            return simulator.distance(now, self.colour) <= TOUCHES
        before, after = start.body(self.colour), now.body(self.colour)
        x, y = self.direction.vector
        return (after.x - before.x) * x + (after.y - before.y) * y >= PUSHED


def draw_task(
    rng: Generator, verb: Verb | None = None, shapes: int | None = None, clip: ClipFormat = DEFAULT_FORMAT
) -> tuple[State, Task]:
    """A random state, and a task in it that is not yet done and that the expert can do.

    Args:
        rng: all chance comes from it.
        verb: what is to be done; None draws it.
        shapes: 1 or 2; None draws it.
        clip: its aspect ratio counts.
    """
    chosen = verb or one_of(rng, list(Verb))
    while True:
        scene = draw_scene(rng, Topic.STILL, shapes, clip)
        target = one_of(rng, scene.bodies)
        to = one_of(rng, STRAIGHT) if chosen is Verb.PUSH else None
        margin = GRIPPER_RADIUS + 0.01
        x, y = float(rng.uniform(margin, clip.aspect - margin)), float(rng.uniform(margin, 1 - margin))
        state = State(scene.bodies, x, y, scene.ground, clip.aspect)
        task = Task(chosen, target.colour, target.kind, to)
        if min(simulator.distance(state, body.colour) for body in state.bodies) < 2 * CLEARANCE:
            continue
        if to is None and simulator.distance(state, task.colour) < FAR:
            continue
        if to is not None and not _has_room(state, target, to):
            continue
        if task.is_done(state, simulator.roll_out(state, expert_actions(state, task))[-1]):
            return state, task


def expert_actions(start: State, task: Task, most: int = MOST_STEPS) -> Actions:
    """What the expert does until the task is done.

    Args:
        start: where it begins.
        task: what is to be done.
        most: steps after which it gives up.

    Returns:
        `[steps, 10]`; it may have no steps.
    """
    state = start
    vectors: list[Actions] = []
    while len(vectors) < most and not task.is_done(start, state):
        vectors.append(expert_action(state, task))
        state = simulator.step(state, vectors[-1])
    return np.stack(vectors) if vectors else np.zeros((0, simulator.WIDTH), np.float32)


def expert_action(now: State, task: Task) -> Actions:
    """What the expert does next, `[10]`.

    It depends on the state alone, which is all that a policy sees: having reached a shape it stays, and it never stops
    pushing.
    """
    target = now.body(task.colour)
    if task.direction is None:
        if simulator.distance(now, task.colour) <= TOUCHES:
            return simulator.action(0.0, 0.0)
        return _towards(now, _around(now, (target.x, target.y), target))
    behind = _behind(target, task.direction)
    x, y = task.direction.vector
    along = (target.x - now.x) * x + (target.y - now.y) * y
    aside = abs((target.x - now.x) * y) + abs((target.y - now.y) * x)
    if along > 0 and aside < 2 * ARRIVED:
        return simulator.action(simulator.MOST * x, simulator.MOST * y)
    return _towards(now, _around(now, behind, None))


def _towards(now: State, place: Place) -> Actions:
    """At full speed in a straight line, the last step shorter."""
    dx, dy = place[0] - now.x, place[1] - now.y
    return simulator.action(*_scaled(dx, dy))


def _scaled(dx: float, dy: float) -> Place:
    scale = min(1.0, simulator.MOST / max(abs(dx), abs(dy), 1e-9))
    return dx * scale, dy * scale


def _behind(target: Body, to: Direction) -> Place:
    """Where the gripper stands before it pushes a shape."""
    x, y = to.vector
    away = target.reach(to.opposite) + GRIPPER_RADIUS + CLEARANCE
    return target.x - x * away, target.y - y * away


def _has_room(state: State, target: Body, to: Direction) -> bool:
    """Whether the gripper can stand behind a shape and the shape can be pushed."""
    x, y = _behind(target, to)
    if not GRIPPER_RADIUS <= x <= state.aspect - GRIPPER_RADIUS or not GRIPPER_RADIUS <= y <= 1 - GRIPPER_RADIUS:
        return False
    ahead = replace(target, x=target.x + ROOM * to.vector[0], y=target.y + ROOM * to.vector[1])
    reach = ahead.extent
    if not reach.left <= ahead.x <= state.aspect - reach.right or not reach.top <= ahead.y <= 1 - reach.bottom:
        return False
    others = [body for body in state.bodies if body.colour != target.colour]
    return all(_is_clear(other, [(x, y)], GRIPPER_RADIUS) and _are_apart(other, ahead) for other in others)


def _are_apart(first: Body, second: Body) -> bool:
    return gap(first.outline, second.outline) > 0


def _around(now: State, goal: Place, ignored: Body | None) -> Place:
    """Where to go next on the way to a place: the place itself, or first a corner of what stands in between."""
    if _way_is_clear(now, (now.x, now.y), goal, ignored):
        return goal
    corners = [corner for body in now.bodies for corner in _corners(body)]
    margin = GRIPPER_RADIUS
    reachable = [
        (x, y)
        for x, y in corners
        if margin <= x <= now.aspect - margin
        and margin <= y <= 1 - margin
        and math.hypot(x - now.x, y - now.y) > ARRIVED
        and _way_is_clear(now, (now.x, now.y), (x, y), None)
    ]
    best = [place for place in reachable if _way_is_clear(now, place, goal, ignored)] or reachable or [goal]
    return min(best, key=lambda place: math.dist((now.x, now.y), place) + math.dist(place, goal))


def _corners(body: Body) -> list[Place]:
    """The corners of a box around a shape, as far away as the gripper needs."""
    reach, away = body.extent, GRIPPER_RADIUS + CLEARANCE
    columns = (body.x - reach.left - away, body.x + reach.right + away)
    return [(x, y) for x in columns for y in (body.y - reach.top - away, body.y + reach.bottom + away)]


def _way_is_clear(now: State, start: Place, end: Place, ignored: Body | None) -> bool:
    points = np.linspace(start, end, max(2, math.ceil(math.dist(start, end) / 0.02))).tolist()
    bodies = [body for body in now.bodies if ignored is None or body.colour != ignored.colour]
    return all(_is_clear(body, [(x, y) for x, y in points], GRIPPER_RADIUS + 0.5 * CLEARANCE) for body in bodies)


def _is_clear(body: Body, points: list[Place], radius: float) -> bool:
    """Whether a disc at each of these places touches no part of a shape; near a corner it may say that it does."""
    shape = body.outline
    beyond = np.array(points) @ shape.normals.T - shape.limits
    return bool((beyond.max(axis=1) > radius).all())
