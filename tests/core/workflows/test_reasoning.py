"""Splitting an answer at its reasoning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.workflows.reasoning import SplitAnswer, split_answer


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("a cup", SplitAnswer(None, "a cup")),
        ("<think>\nhm\n</think>\n\na cup\n", SplitAnswer("hm", "a cup")),
        ("<think></think>a cup", SplitAnswer("", "a cup")),
        # The chat template has opened the tag.
        ("hm\n</think>a cup", SplitAnswer("hm", "a cup")),
        # The model thinks twice.
        ("<think>hm</think>no<think>ah</think>a cup", SplitAnswer("hmnoah", "a cup")),
        ("<think>hm</think><answer>a cup</answer>", SplitAnswer("hm", "a cup")),
        ("<answer>a cup</answer>", SplitAnswer(None, "a cup")),
        ("<think>hm", SplitAnswer("hm", "", unfinished=True)),
        ("  <think>", SplitAnswer("", "", unfinished=True)),
        ("<think>hm</think>", SplitAnswer("hm", "")),
        ("the word <think> in a sentence", SplitAnswer(None, "the word <think> in a sentence")),
        ("", SplitAnswer(None, "")),
    ],
)
def test_parts_of_an_answer(text: str, split: SplitAnswer) -> None:
    assert split_answer(text) == split


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="<")))
def test_what_follows_the_last_tag_is_the_answer(reasoning: str, said: str) -> None:
    found = split_answer(f"<think>{reasoning}</think>{said}")
    assert found.said == said.strip() and found.reasoning is not None and not found.unfinished
