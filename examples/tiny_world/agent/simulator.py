"""A gripper that an agent moves: it can touch shapes and push them. Nothing else moves, and nothing glides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.embodiments import EMBODIMENTS
from examples.tiny_world.scenes.collisions import gap, overlap
from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.render import GRIPPER_RADIUS, Frames, draw, gripper_at, shape_at
from examples.tiny_world.scenes.scene import Body, ClipFormat
from examples.tiny_world.scenes.shapes import Extent, Outline, ShapeKind, extent, outline

DOMAIN = "bridge_orig_lerobot"
"""The embodiment whose action vector is used: a pose of 9 numbers and the gripper's opening."""
WIDTH = EMBODIMENTS[DOMAIN].width or 0
MOST = 0.06
"""How far the gripper moves in one step at most along each axis, in heights: an action of 1."""
GRIPPER_EXTENT = extent(ShapeKind.CIRCLE, GRIPPER_RADIUS)
PASSES = 3
"""How often contacts are resolved in a step: the gripper pushes a shape, which pushes another."""

Actions = NDArray[np.float32]
"""`[steps, 10]`: the parts of `MOST` by which the gripper moves to the right and down, -1 to 1; the rest is zero."""


@dataclass(frozen=True)
class State:
    """Where everything is between two steps.

    Attributes:
        bodies: the shapes; their velocities do not matter.
        x, y: the gripper's centre, in heights.
        ground: a name of `GROUNDS`.
        aspect: width of the frame in heights.
    """

    bodies: tuple[Body, ...]
    x: float
    y: float
    ground: str = "gray"
    aspect: float = ClipFormat().aspect

    def body(self, colour: str) -> Body:
        """The shape of a colour.

        Raises:
            ValueError: there is none.
        """
        for body in self.bodies:
            if body.colour == colour:
                return body
        raise ValueError(f"no shape is {colour}; there are {', '.join(body.name for body in self.bodies)}")


def action(dx: float, dy: float) -> Actions:
    """The action vector `[10]` that moves the gripper by this much, in heights; longer ways are cut to `MOST`."""
    vector = np.zeros(WIDTH, np.float32)
    vector[:2] = np.clip(np.array((dx, dy)) / MOST, -1.0, 1.0)
    return vector


def step(state: State, vector: NDArray[np.floating]) -> State:
    """The state after one action.

    Args:
        state: before it.
        vector: `[2]` or more channels; only the first two count, cut to -1 to 1.

    Raises:
        ValueError: it has fewer than two channels, or they are not finite.
    """
    if len(vector) < 2 or not np.isfinite(vector[:2]).all():
        raise ValueError(f"action is {vector}; expected two or more finite numbers")
    dx, dy = (MOST * np.clip(np.asarray(vector[:2], float), -1.0, 1.0)).tolist()
    bodies = list(state.bodies)
    gripper = _inside((state.x + dx, state.y + dy), GRIPPER_EXTENT, state.aspect)
    for _ in range(PASSES):
        for index, body in enumerate(bodies):
            bodies[index] = _pushed(body, _disc(gripper), state.aspect)
        for index, body in enumerate(bodies):
            for other in range(len(bodies)):
                if other != index:
                    bodies[other] = _pushed(bodies[other], body.outline, state.aspect)
    # What a wall or another shape holds in place holds the gripper too.
    for body in bodies:
        found = overlap(body.outline, _disc(gripper))
        if found is not None:
            gripper = (gripper[0] + found.depth * found.x, gripper[1] + found.depth * found.y)
    gripper = _inside(gripper, GRIPPER_EXTENT, state.aspect)
    return replace(state, bodies=tuple(bodies), x=gripper[0], y=gripper[1])


def distance(state: State, colour: str) -> float:
    """Between the edges of the gripper and of a shape, in heights; 0 or less where they touch."""
    return gap(state.body(colour).outline, _disc((state.x, state.y)))


def picture(state: State, clip: ClipFormat) -> NDArray[np.uint8]:
    """A state as uint8 `[height, width, 3]`."""
    shapes = [shape_at(body.kind, COLOURS[body.colour], body.size.radius, body.x, body.y) for body in state.bodies]
    return draw(GROUNDS[state.ground], [*shapes, *gripper_at(state.x, state.y)], clip.width, clip.height)


def roll_out(state: State, actions: Actions) -> list[State]:
    """The states before, between and after some actions: one more than there are actions."""
    states = [state]
    for vector in actions:
        states.append(step(states[-1], vector))
    return states


def pictures(states: list[State], clip: ClipFormat) -> Frames:
    """Each state as a frame, uint8 `[states, height, width, 3]`."""
    return np.stack([picture(state, clip) for state in states])


def _disc(place: tuple[float, float]) -> Outline:
    return outline(ShapeKind.CIRCLE, GRIPPER_RADIUS, *place)


def _pushed(body: Body, by: Outline, aspect: float) -> Body:
    """The body moved out of an outline, as far as the edges of the frame let it."""
    found = overlap(by, body.outline)
    if found is None:
        return body
    x, y = _inside((body.x + found.depth * found.x, body.y + found.depth * found.y), body.extent, aspect)
    return replace(body, x=x, y=y)


def _inside(place: tuple[float, float], reach: Extent, aspect: float) -> tuple[float, float]:
    x = min(max(place[0], reach.left), aspect - reach.right)
    return x, min(max(place[1], reach.top), 1 - reach.bottom)
