"""What the gripper should do next, and its path: read by the product's reader, and right when they are followed."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos3_core.workflows.answers import Actions, Trajectory
from cosmos3_core.workflows.medium import Medium, MediumKind
from cosmos3_core.workflows.parsing import parse_answer
from cosmos3_core.workflows.table import find_workflow
from examples.tiny_world.agent.expert import Verb, draw_task, expert_actions
from examples.tiny_world.agent.simulator import roll_out
from examples.tiny_world.scenes.scene import Direction
from examples.tiny_world.texts import agent_questions

PICTURE = Medium(MediumKind.IMAGE, 160, 96)


@pytest.mark.parametrize("verb", Verb)
def test_the_path_begins_at_the_gripper_and_ends_where_the_expert_does(verb: Verb) -> None:
    for seed in range(8):
        state, task = draw_task(np.random.default_rng(seed), verb)
        question = agent_questions.path(state, task)
        answer = parse_answer(find_workflow(question.workflow), question.reply(reasons=True), PICTURE)
        assert isinstance(answer.result, Trajectory) and answer.reasoning
        points = answer.result.points
        assert (points[0].x, points[0].y) == pytest.approx((96 * state.x, 96 * state.y), abs=0.2)
        last = roll_out(state, expert_actions(state, task))[-1]
        assert (points[-1].x, points[-1].y) == pytest.approx((96 * last.x, 96 * last.y), abs=0.2)
        assert points[-1].label == verb and 2 <= len(points) <= 1 + agent_questions.LEGS


@pytest.mark.parametrize("verb", Verb)
def test_the_next_action_is_the_expert_s_first(verb: Verb) -> None:
    for seed in range(8):
        state, task = draw_task(np.random.default_rng(seed), verb)
        question = agent_questions.next_action(state, task)
        result = parse_answer(find_workflow(question.workflow), question.answer, PICTURE).result
        assert isinstance(result, Actions) and task.instruction in (question.question or "")
        first = expert_actions(state, task)[0]
        assert result.actions[0].endswith(str(Direction.of(float(first[0]), float(first[1]))))
        assert (verb is Verb.PUSH) == result.actions[-1].startswith("push")
