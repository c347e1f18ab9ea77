"""Times and spans of time: seconds, `mm:ss`, `hh:mm:ss`, in JSON and in plain text."""

from __future__ import annotations

import math
import re
from typing import Any

from cosmos3_core.workflows.answers import Span
from cosmos3_core.workflows.json_in_text import text_of

START_KEYS = ("start", "start_time", "begin", "from", "start_timestamp", "t_start", "start_seconds")
END_KEYS = ("end", "end_time", "to", "stop", "end_timestamp", "t_end", "end_seconds")
RANGE_KEYS = ("time", "timestamp", "timestamps", "interval", "span", "segment", "time_range", "range")
EVENT_KEYS = ("event", "label", "caption", "description", "action", "text", "title", "name")
_CLOCK = r"(?:\d{1,4}:)?\d{1,4}:\d{1,2}(?:\.\d{1,9})?"
_SECONDS = r"\d{1,9}(?:\.\d{1,9})?"
_UNIT = r"\s?(?:seconds|second|secs|sec|s)\b"
_TIME = rf"<?(?:{_CLOCK}|{_SECONDS})(?:{_UNIT})?>?"
_ONE_TIME = re.compile(_TIME)
_RANGE = re.compile(rf"({_TIME})\s?(?:-|–|—|to|until)\s?({_TIME})")
_HAS_UNIT = re.compile(rf":|\d{_UNIT}")
_AROUND_EVENT = " \t*:,.;()[]<>-–—\"'`"


def seconds_of(value: Any) -> float | None:
    """A time in seconds from a number or a text such as `5.2`, `5.2 s`, `01:05`, `1:02:03`; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        return _parsed(text) if _ONE_TIME.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def spans_of(name: str, value: Any, length: float | None) -> list[Span]:
    """The span of one JSON value, as a list of at most one.

    Args:
        name: the key that the value stands under.
        value: an object with start and end or with a range, `[start, end]`, `[start, end, event]`, or an event that
            stands under its range.
        length: of the video in seconds; times beyond it are moved to it. None where it is not known.
    """
    if isinstance(value, dict):
        return _spans_of_object(value, length)
    if isinstance(value, str):
        ends = _range_of(name)
        return [] if ends is None else [_span(*ends, value.strip(), length)]
    if isinstance(value, list) and 2 <= len(value) <= 3:
        ends = _range_of(value[:2])
        label = value[2] if len(value) == 3 else ""
        if ends is not None and isinstance(label, str):
            return [_span(*ends, label.strip(), length)]
    return []


def spans_in_text(text: str, length: float | None) -> list[Span]:
    """The spans of lines such as `00:05 - 00:09: a door opens`; a range of numbers counts if it has a unit."""
    spans = []
    for line in text.splitlines():
        found = _RANGE.search(line)
        if found is None or _HAS_UNIT.search(found[0]) is None:
            continue
        after, before = line[found.end() :].strip(_AROUND_EVENT), line[: found.start()].strip(_AROUND_EVENT)
        spans.append(_span(_parsed(found[1]), _parsed(found[2]), after or before, length))
    return spans


def clock(seconds: float) -> str:
    """A time as `m:ss.f`, to a tenth of a second."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _spans_of_object(item: dict[str, Any], length: float | None) -> list[Span]:
    start, end = _first_time(item, START_KEYS), _first_time(item, END_KEYS)
    ends = None if start is None or end is None else (start, end)
    for key in RANGE_KEYS:
        ends = ends or _range_of(item.get(key))
    return [] if ends is None else [_span(*ends, text_of(item, EVENT_KEYS), length)]


def _first_time(item: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    times = (seconds_of(item[key]) for key in keys if key in item)
    return next((time for time in times if time is not None), None)


def _range_of(value: Any) -> tuple[float, float] | None:
    """Start and end from a list of two times or a text of the form `start - end`."""
    if isinstance(value, str):
        found = _RANGE.fullmatch(value.strip())
        return None if found is None else (_parsed(found[1]), _parsed(found[2]))
    if not isinstance(value, list) or len(value) != 2:
        return None
    start, end = (seconds_of(inner) for inner in value)
    return None if start is None or end is None else (start, end)


def _parsed(text: str) -> float:
    """Seconds of a text that `_TIME` matches."""
    digits = re.sub(r"[^\d.:]", "", text)
    return sum(float(part) * 60.0**power for power, part in enumerate(reversed(digits.split(":"))))


def _span(start: float, end: float, label: str, length: float | None) -> Span:
    latest = math.inf if length is None else length
    first, last = sorted(min(max(time, 0.0), latest) for time in (start, end))
    return Span(start=round(first, 3), end=round(last, 3), label=label)
