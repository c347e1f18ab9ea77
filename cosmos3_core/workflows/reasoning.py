"""Splits an answer into what the model thought and what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass

OPENED, CLOSED = "<think>", "</think>"
_ANSWER_TAG = re.compile(r"</?answer>")


@dataclass(frozen=True)
class SplitAnswer:
    """The two parts of an answer.

    Attributes:
        reasoning: what stands inside `<think>`; None where nothing does.
        said: what is left, without `<answer>` tags.
        unfinished: whether the text ends before `</think>`.
    """

    reasoning: str | None
    said: str
    unfinished: bool = False


def split_answer(text: str) -> SplitAnswer:
    """Split at the last `</think>`.

    Some chat templates open `<think>` in the prompt, so an answer may close what it has not opened. An answer that is
    cut off may open what it does not close.
    """
    before, closed, after = text.rpartition(CLOSED)
    if closed:
        return SplitAnswer(before.replace(OPENED, "").replace(CLOSED, "").strip(), _said(after))
    before, opened, thought = text.partition(OPENED)
    if opened and not before.strip():
        return SplitAnswer(thought.strip(), "", unfinished=True)
    return SplitAnswer(None, _said(text))


def _said(text: str) -> str:
    return _ANSWER_TAG.sub("", text).strip()
