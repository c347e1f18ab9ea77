"""Clips with actions: frames follow from actions, and actions are varied enough to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.agent.episodes import EPISODE_FPS, dynamics_episode, policy_episode
from examples.tiny_world.agent.expert import Verb
from examples.tiny_world.agent.simulator import WIDTH, pictures, roll_out
from examples.tiny_world.scenes.scene import ClipFormat


@pytest.mark.parametrize("chunk", [8, 16])
def test_frames_follow_from_the_first_state_and_the_actions(chunk: int) -> None:
    for make in (policy_episode, dynamics_episode):
        episode = make(np.random.default_rng(1), chunk)
        assert episode.actions.shape == (chunk, WIDTH) and episode.actions.dtype == np.float32
        assert episode.frames.shape == (chunk + 1, 96, 160, 3)
        assert episode.format == ClipFormat(frames=chunk + 1, fps=EPISODE_FPS)
        states = roll_out(episode.states[0], episode.actions)
        assert tuple(states) == episode.states
        assert (pictures(states, episode.format) == episode.frames).all()


def test_parts_of_policies_begin_early_and_late_and_stay_at_what_is_reached() -> None:
    episodes = [policy_episode(np.random.default_rng(seed), verb=Verb.REACH) for seed in range(20)]
    still = [int((np.abs(episode.actions).max(axis=1) == 0).sum()) for episode in episodes]
    assert still.count(0) >= 3 and sum(number > 0 for number in still) >= 3 and max(still) < 8


def test_dynamics_use_all_directions_and_push_shapes() -> None:
    episodes = [dynamics_episode(np.random.default_rng(seed)) for seed in range(40)]
    moves = np.concatenate([episode.actions[:, :2] for episode in episodes])
    assert np.abs(moves.mean(axis=0)).max() < 0.35 and moves.std(axis=0).min() > 0.4
    pushed = [episode.states[0].bodies != episode.states[-1].bodies for episode in episodes]
    assert 5 <= sum(pushed) <= 35


def test_the_seed_decides_and_the_verb_can_be_chosen() -> None:
    first, again = (policy_episode(np.random.default_rng(3), verb=Verb.PUSH) for _ in range(2))
    assert (first.frames == again.frames).all() and first.task.verb is Verb.PUSH
