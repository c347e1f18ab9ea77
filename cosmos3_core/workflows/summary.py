"""An answer in plain lines, for a terminal and for the text below a picture."""

from __future__ import annotations

from cosmos3_core.workflows.answers import (
    Actions,
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
from cosmos3_core.workflows.times import clock

NOTHING = "nothing was found"


def summary_lines(result: Result) -> list[str]:
    """The result in lines; positions in pixels, times as minutes and seconds."""
    if isinstance(result, Caption):
        return result.text.splitlines()
    if isinstance(result, Actions):
        return [result.answer, *_numbered(result.actions)] if result.answer else _numbered(result.actions)
    if isinstance(result, Verdict):
        return _with("plausible" if result.plausible else "implausible", result.explanation)
    if isinstance(result, Label):
        return _with(result.label, result.explanation)
    if isinstance(result, Unreadable):
        return [result.reason]
    return _numbered(_items(result)) or [NOTHING]


def _items(result: Spans | Regions | Trajectory) -> list[str]:
    if isinstance(result, Spans):
        return [f"{clock(span.start)} to {clock(span.end)}{_after(span.label)}" for span in result.spans]
    if isinstance(result, Trajectory):
        return [_point(point) for point in result.points]
    return [*(_box(box) for box in result.boxes), *(_point(point) for point in result.points)]


def _box(box: Box) -> str:
    place = f"box {box.x1:g}, {box.y1:g} to {box.x2:g}, {box.y2:g}"
    return place + _after(": ".join(text for text in (box.label, box.description) if text))


def _point(point: Point) -> str:
    return f"point {point.x:g}, {point.y:g}{_after(point.label)}"


def _after(text: str) -> str:
    return f"  {text}" if text else ""


def _with(name: str, explanation: str) -> list[str]:
    return [name, explanation] if explanation else [name]


def _numbered(texts: list[str] | tuple[str, ...]) -> list[str]:
    return [f"{number}. {text}" for number, text in enumerate(texts, 1)]
