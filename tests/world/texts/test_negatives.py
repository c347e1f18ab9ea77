"""Negative prompts: half of them empty."""

from __future__ import annotations

import numpy as np

from examples.tiny_world.texts.negatives import SENTENCES, negative_prompt


def test_half_are_empty_and_the_others_have_one_or_two_different_sentences() -> None:
    rng = np.random.default_rng(0)
    prompts = [negative_prompt(rng) for _ in range(200)]
    assert 70 <= prompts.count("") <= 130
    counts = [[prompt.count(sentence) for sentence in SENTENCES] for prompt in prompts if prompt]
    assert {sum(count) for count in counts} == {1, 2} and max(map(max, counts)) == 1
