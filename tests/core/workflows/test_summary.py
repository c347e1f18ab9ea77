"""Answers in lines of text."""

from __future__ import annotations

import pytest

from cosmos3_core.workflows.answers import (
    Actions,
    Box,
    Caption,
    Label,
    Point,
    Regions,
    Result,
    Span,
    Spans,
    Trajectory,
    Unreadable,
    Verdict,
)
from cosmos3_core.workflows.summary import NOTHING, summary_lines

BOX = Box(x1=1, y1=2.5, x2=30, y2=40, label="cup")


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (Caption(text="A cup.\nA plate."), ["A cup.", "A plate."]),
        (Actions(answer="Wait.", actions=("stop", "look")), ["Wait.", "1. stop", "2. look"]),
        (Actions(actions=("stop",)), ["1. stop"]),
        (Verdict(plausible=False, explanation="It rises."), ["implausible", "It rises."]),
        (Verdict(plausible=True), ["plausible"]),
        (Label(label="near miss"), ["near miss"]),
        (Unreadable(reason="the answer is empty"), ["the answer is empty"]),
        (
            Spans(spans=(Span(start=5, end=65.5, label="a"), Span(start=1, end=2))),
            ["1. 0:05.0 to 1:05.5  a", "2. 0:01.0 to 0:02.0"],
        ),
        (Regions(boxes=(BOX,), points=(Point(x=5, y=6),)), ["1. box 1, 2.5 to 30, 40  cup", "2. point 5, 6"]),
        (Regions(boxes=(BOX.model_copy(update={"description": "Red."}),)), ["1. box 1, 2.5 to 30, 40  cup: Red."]),
        (Trajectory(points=(Point(x=5, y=6, label="lift"),)), ["1. point 5, 6  lift"]),
        (Spans(), [NOTHING]),
        (Regions(), [NOTHING]),
    ],
)
def test_lines(result: Result, lines: list[str]) -> None:
    assert summary_lines(result) == lines
