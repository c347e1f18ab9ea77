"""Clips with actions: of the expert for policies, of all kinds of movements for forward and inverse dynamics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from examples.tiny_world.agent import simulator
from examples.tiny_world.agent.expert import Task, Verb, draw_task, expert_action, expert_actions
from examples.tiny_world.agent.simulator import Actions, State
from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.draw import DEFAULT_FORMAT
from examples.tiny_world.scenes.render import Frames
from examples.tiny_world.scenes.scene import ClipFormat

VIEW_POINT = "third_person_view"
"""The camera looks at the gripper and the shapes from outside."""
EPISODE_FPS = 10.0
WANDERS = 0.4
"""The part of clips of dynamics in which the gripper moves without a purpose."""
NOISE = 0.3
"""How far actions of the expert are varied for dynamics, as a part of the largest action."""


@dataclass(frozen=True)
class Episode:
    """A clip with its actions.

    Attributes:
        task: what the gripper is to do; of a clip of dynamics, what it may do.
        actions: `[chunk, 10]`.
        states: one more than there are actions.
        frames: uint8 `[chunk + 1, height, width, 3]`.
        format: of the frames.
    """

    task: Task
    actions: Actions
    states: tuple[State, ...]
    frames: Frames
    format: ClipFormat


def policy_episode(
    rng: Generator, chunk: int = 8, clip: ClipFormat = DEFAULT_FORMAT, verb: Verb | None = None
) -> Episode:
    """A part of what the expert does.

    It begins anywhere before the task is done, so that a policy learns to go on from every state.

    Args:
        rng: all chance comes from it.
        chunk: number of actions.
        clip: width and height count.
        verb: what is to be done; None draws it.
    """
    start, task = draw_task(rng, verb, clip=clip)
    first = one_of(rng, simulator.roll_out(start, expert_actions(start, task))[:-1])
    state, vectors = first, []
    for _ in range(chunk):
        vectors.append(expert_action(state, task))
        state = simulator.step(state, vectors[-1])
    return _episode(task, first, np.stack(vectors), clip)


def dynamics_episode(rng: Generator, chunk: int = 8, clip: ClipFormat = DEFAULT_FORMAT) -> Episode:
    """A clip for forward and inverse dynamics: varied actions, of the expert or without a purpose.

    Arguments as in `policy_episode`.
    """
    start, task = draw_task(rng, clip=clip)
    wanders = rng.random() < WANDERS
    state, vectors = start, []
    heading = rng.uniform(-1, 1, 2)
    for _ in range(chunk):
        heading = np.clip(heading + rng.normal(0, NOISE, 2), -1, 1)
        wanted = heading if wanders else expert_action(state, task)[:2] + rng.normal(0, NOISE, 2)
        vectors.append(simulator.action(*(simulator.MOST * np.asarray(wanted, float)).tolist()))
        state = simulator.step(state, vectors[-1])
    return _episode(task, start, np.stack(vectors), clip)


def _episode(task: Task, start: State, actions: Actions, clip: ClipFormat) -> Episode:
    states = simulator.roll_out(start, actions)
    form = replace(clip, frames=len(states), fps=EPISODE_FPS)
    return Episode(task, actions, tuple(states), simulator.pictures(states, form), form)
