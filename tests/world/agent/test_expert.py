"""The expert does what tasks say, in time, without touching what it should not."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.agent.expert import (
    FAR,
    MOST_STEPS,
    PUSHED,
    Task,
    Verb,
    draw_task,
    expert_action,
    expert_actions,
)
from examples.tiny_world.agent.simulator import MOST, State, action, roll_out
from examples.tiny_world.scenes.scene import Body, Direction
from examples.tiny_world.scenes.shapes import ShapeKind, Size

BLOCK = Body(ShapeKind.SQUARE, "green", Size.SMALL, 0.8, 0.5)


@pytest.mark.parametrize("verb", Verb)
def test_drawn_tasks_are_done_by_the_expert_and_not_before(verb: Verb) -> None:
    for seed in range(20):
        start, task = draw_task(np.random.default_rng(seed), verb)
        actions = expert_actions(start, task)
        states = roll_out(start, actions)
        done = [task.is_done(start, state) for state in states]
        assert done == [False] * len(actions) + [True] and 2 <= len(actions) <= MOST_STEPS
        assert np.abs(actions).max() <= 1 and (actions[:, 2:] == 0).all()


def test_reaching_leaves_every_shape_where_it_is() -> None:
    for seed in range(15):
        start, task = draw_task(np.random.default_rng(seed), Verb.REACH)
        states = roll_out(start, expert_actions(start, task))
        for before, after in zip(start.bodies, states[-1].bodies, strict=True):
            assert np.hypot(before.x - after.x, before.y - after.y) < MOST


def test_it_walks_around_a_shape_that_it_has_to_push_back() -> None:
    start = State((BLOCK,), 1.2, 0.5)
    task = Task(Verb.PUSH, "green", ShapeKind.SQUARE, Direction.RIGHT)
    states = roll_out(start, expert_actions(start, task))
    assert task.is_done(start, states[-1]) and max(abs(state.y - 0.5) for state in states) > 0.15
    assert min(state.bodies[0].x for state in states) >= 0.8 - 1e-6


def test_a_push_in_another_direction_is_not_what_was_asked_for() -> None:
    start = State((BLOCK,), 0.5, 0.5)
    pushed = roll_out(start, np.stack([action(MOST, 0.0)] * 10))[-1]
    assert pushed.bodies[0].x - 0.8 > PUSHED
    assert Task(Verb.PUSH, "green", ShapeKind.SQUARE, Direction.RIGHT).is_done(start, pushed)
    for other in (Direction.LEFT, Direction.UP, Direction.DOWN):
        assert not Task(Verb.PUSH, "green", ShapeKind.SQUARE, other).is_done(start, pushed)


def test_it_stays_at_what_it_has_reached_and_pushes_on() -> None:
    start, task = draw_task(np.random.default_rng(0), Verb.REACH)
    assert (expert_action(roll_out(start, expert_actions(start, task))[-1], task) == 0).all()
    start, task = draw_task(np.random.default_rng(0), Verb.PUSH)
    last = roll_out(start, expert_actions(start, task))[-1]
    assert task.direction is not None
    assert expert_action(last, task)[:2] == pytest.approx(task.direction.vector)


def test_tasks_are_far_from_done_and_named_as_sentences() -> None:
    start, task = draw_task(np.random.default_rng(4), Verb.REACH)
    target = start.body(task.colour)
    assert np.hypot(target.x - start.x, target.y - start.y) > FAR
    assert task.instruction == f"Reach the {task.colour} {task.kind}."
    push = Task(Verb.PUSH, "red", ShapeKind.CIRCLE, Direction.LEFT)
    assert push.instruction == "Push the red circle to the left."
