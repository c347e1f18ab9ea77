"""Reads an answer's text into the typed value of its workflow; what cannot be read is `Unreadable`, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cosmos3_core.workflows.answers import (
    Actions,
    Answer,
    Box,
    Caption,
    Label,
    Point,
    Regions,
    Result,
    Spans,
    Trajectory,
    Unreadable,
    Verdict,
)
from cosmos3_core.workflows.coordinates import PixelGrid, boxes_of, places_of, points_of
from cosmos3_core.workflows.json_in_text import collect, encodable, json_values, says_nothing_found, text_of
from cosmos3_core.workflows.medium import Medium
from cosmos3_core.workflows.reasoning import split_answer
from cosmos3_core.workflows.table import Form, Workflow
from cosmos3_core.workflows.times import spans_in_text, spans_of
from cosmos3_core.workflows.verdicts import plausibility

MAX_CHARACTERS = 200_000
"""Of an answer that is read; more than any model here writes."""
REPLY_KEYS = ("answer", "reply", "response", "result")
ACTIONS_KEYS = ("actions", "next_actions", "next_action", "steps", "plan", "action", "subtasks", "next_subtask")
SITUATION_KEYS = ("situation", "label", "category", "class", "answer")
EXPLANATION_KEYS = ("explanation", "reason", "reasoning", "rationale", "description", "why")
VERDICT_KEYS = ("verdict", "plausible", "is_plausible", "physically_plausible", "answer", "label")
TEXT_KEYS = ("action", "description", "step", "text", "name")
_LISTED = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]+(\S.*)$", re.MULTILINE)
_PAIR = re.compile(r"\(\s?-?\d{1,9}(?:\.\d{1,9})?\s?,\s?-?\d{1,9}(?:\.\d{1,9})?\s?\)")


def parse_answer(workflow: Workflow, text: str, medium: Medium) -> Answer:
    """Read an answer.

    Args:
        workflow: what was asked for.
        text: the whole answer, with its reasoning if it has one.
        medium: what was asked about; positions are in its pixels and times within its length.

    Returns:
        The typed value, or `Unreadable` with the reason; and the text itself.
    """
    text = encodable(text)
    split = split_answer(text)
    form = _FORMS[workflow.form]
    result: Result | None = None
    if split.unfinished:
        reason = "the answer ends inside <think>; allow more tokens"
    elif not split.said:
        reason = "the answer is empty"
    elif len(text) > MAX_CHARACTERS:
        reason = f"the answer has {len(text)} characters; expected at most {MAX_CHARACTERS}"
    else:
        result, reason = form.read(split.said, medium), f"the answer has no {form.expected}"
    return Answer(
        workflow=workflow.name, result=result or Unreadable(reason=reason), reasoning=split.reasoning, text=text
    )


def _caption(text: str, medium: Medium) -> Caption:
    return Caption(text=text)


def _spans(text: str, medium: Medium) -> Spans | None:
    values = json_values(text)
    spans = collect(values, lambda name, value: spans_of(name, value, medium.seconds))
    spans = spans or spans_in_text(text, medium.seconds)
    return Spans(spans=tuple(spans)) if spans or says_nothing_found(values) else None


def _actions(text: str, medium: Medium) -> Actions:
    for value in json_values(text):
        item = value if isinstance(value, dict) else {"actions": value}
        reply = text_of(item, REPLY_KEYS)
        actions = next((found for key in ACTIONS_KEYS if (found := _texts(item.get(key)))), ())
        if reply or actions:
            return Actions(answer=reply, actions=actions)
    return Actions(answer=text, actions=tuple(action.strip() for action in _LISTED.findall(text)))


def _texts(value: Any) -> tuple[str, ...]:
    """The texts of a text, of a list of texts, or of a list of objects with one each."""
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    items = value if isinstance(value, list) else []
    texts = (
        item if isinstance(item, str) else text_of(item, TEXT_KEYS) for item in items if isinstance(item, (str, dict))
    )
    return tuple(text.strip() for text in texts if text.strip())


def _regions(text: str, medium: Medium) -> Regions | None:
    grid, values = PixelGrid(medium.width, medium.height), json_values(text)
    found = collect(values, lambda name, value: [*boxes_of(name, value, grid), *points_of(value, grid)])
    if not found and not says_nothing_found(values):
        return None
    return Regions(
        boxes=tuple(region for region in found if isinstance(region, Box)),
        points=tuple(region for region in found if isinstance(region, Point)),
    )


def _trajectory(text: str, medium: Medium) -> Trajectory | None:
    grid = PixelGrid(medium.width, medium.height)

    def read(name: str, value: Any) -> list[Point]:
        if isinstance(value, list):
            return [grid.point(place) for place in places_of(value)]
        return points_of(value, grid)

    points = collect(json_values(text), read)
    points = points or [grid.point(place) for pair in _PAIR.findall(text) for place in places_of(pair)]
    return Trajectory(points=tuple(points)) if points else None


def _verdict(text: str, medium: Medium) -> Verdict | None:
    for item in _objects(text):
        for key in VERDICT_KEYS:
            plausible = plausibility(item.get(key))
            if plausible is not None:
                return Verdict(plausible=plausible, explanation=text_of(item, EXPLANATION_KEYS))
    plausible = plausibility(text)
    return None if plausible is None else Verdict(plausible=plausible, explanation=text)


def _label(text: str, medium: Medium) -> Label | None:
    for item in _objects(text):
        label = text_of(item, SITUATION_KEYS)
        if label:
            return Label(label=label, explanation=text_of(item, EXPLANATION_KEYS))
    return None


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects of a text, also those in lists."""
    return collect(json_values(text), lambda name, value: [value] if isinstance(value, dict) else [])


@dataclass(frozen=True)
class _FormReader:
    """How a form is read, and how a reader calls it when it is not there."""

    read: Callable[[str, Medium], Result | None]
    expected: str


_FORMS: dict[Form, _FormReader] = {
    Form.CAPTION: _FormReader(_caption, "text"),
    Form.SPANS: _FormReader(_spans, "times; expected JSON objects with start and end"),
    Form.ACTIONS: _FormReader(_actions, "text"),
    Form.REGIONS: _FormReader(_regions, "boxes or points; expected JSON objects with bbox_2d or point_2d"),
    Form.TRAJECTORY: _FormReader(_trajectory, "points; expected JSON objects with point_2d"),
    Form.VERDICT: _FormReader(_verdict, "clear verdict; expected plausible or implausible"),
    Form.LABEL: _FormReader(_label, "situation; expected a JSON object with situation"),
}
