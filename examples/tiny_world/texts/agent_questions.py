"""Questions about the gripper: what it should do next, and the path that it should take."""

from __future__ import annotations

import json
from itertools import pairwise

from examples.tiny_world.agent import simulator
from examples.tiny_world.agent.expert import Task, expert_actions
from examples.tiny_world.agent.simulator import State
from examples.tiny_world.scenes.scene import Direction
from examples.tiny_world.texts.questions import SCALE, Question

LEGS = 4
"""The most points of a path after its first."""


def next_action(state: State, task: Task) -> Question:
    """What the gripper should do next, as a list of movements; about a picture of the state."""
    moves = [f"move {direction}" for direction, _ in _legs(state, task)]
    if task.direction is not None and moves:
        moves[-1] = f"push {task.direction}"
    first = moves[0] if moves else "stay"
    reply = f"{first[:1].upper()}{first[1:]}."
    asked = f"The gripper is to do this: {task.instruction} What should it do next?"
    reasoning = f"The {task.colour} {task.kind} is the target. {reply}"
    answer = json.dumps({"answer": reply, "actions": moves})
    return Question("embodied-reasoning", asked, answer, reasoning, is_image=True)


def path(state: State, task: Task) -> Question:
    """The path of the gripper through the picture."""
    legs = _legs(state, task)
    places = [(state.x, state.y), *(place for _, place in legs)]
    labels = ["start", *("move" for _ in legs[1:]), "push" if task.direction is not None else "reach"][: len(places)]
    points = [
        {"point_2d": [round(SCALE * x / state.aspect), round(SCALE * y)], "label": label}
        for (x, y), label in zip(places, labels, strict=True)
    ]
    reasoning = f"The {task.colour} {task.kind} is the target."
    return Question("action-chain-of-thought", task.instruction, json.dumps(points), reasoning, is_image=True)


def _legs(state: State, task: Task) -> list[tuple[Direction, tuple[float, float]]]:
    """The expert's way in straight pieces: the direction of each, and where it ends, in heights."""
    legs: list[tuple[Direction, tuple[float, float]]] = []
    states = simulator.roll_out(state, expert_actions(state, task))
    for before, after in pairwise(states):
        dx, dy = after.x - before.x, after.y - before.y
        if dx == 0 and dy == 0:
            continue
        direction = Direction.of(dx, dy)
        if legs and legs[-1][0] is direction:
            legs.pop()
        legs.append((direction, (after.x, after.y)))
    return legs[:LEGS] if len(legs) <= LEGS else [*legs[: LEGS - 1], legs[-1]]
