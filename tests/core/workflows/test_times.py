"""Times and spans of time in any notation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.workflows.answers import Span
from cosmos3_core.workflows.times import clock, seconds_of, spans_in_text, spans_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5),
        (5.25, 5.25),
        ("5", 5),
        (" 5.25 ", 5.25),
        ("5.2s", 5.2),
        ("5.2 sec", 5.2),
        ("5.2 seconds", 5.2),
        ("<5.2 seconds>", 5.2),
        ("0:05", 5),
        ("01:05", 65),
        ("01:05.50", 65.5),
        ("1:02:03", 3723),
        ("01:02:03.5", 3723.5),
        ("90:00", 5400),
    ],
)
def test_notations_of_a_time(value: Any, seconds: float) -> None:
    assert seconds_of(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        "",
        "soon",
        "5 minutes",
        "1:2:3:4",
        "-5",
        "5e3",
        ":05",
        float("nan"),
        float("inf"),
        10**400,
        "9" * 99,
    ],
)
def test_what_is_no_time(value: Any) -> None:
    assert seconds_of(value) is None


@pytest.mark.parametrize(
    "value",
    [
        {"start": 5, "end": 9, "event": "a door opens"},
        {"start": "00:05", "end": "00:09", "caption": "a door opens"},
        {"start_time": "5.0", "end_time": "9.0s", "description": " a door opens "},
        {"begin": 5.0, "stop": 9, "label": "a door opens"},
        {"from": "0:05", "to": "0:09", "action": "a door opens"},
        {"time": "00:05 - 00:09", "event": "a door opens"},
        {"time": "00:05-00:09", "event": "a door opens"},
        {"timestamp": "5 to 9", "event": "a door opens"},
        {"timestamps": [5, 9], "event": "a door opens"},
        {"interval": ["0:05", "0:09"], "text": "a door opens"},
        {"end": 5, "start": 9, "event": "a door opens"},
        {"start": "soon", "start_time": 5, "end": 9, "event": "a door opens"},
        [5, 9, "a door opens"],
        ["00:05", "00:09", "a door opens"],
    ],
)
def test_notations_of_a_span(value: Any) -> None:
    assert spans_of("", value, 20) == [Span(start=5, end=9, label="a door opens")]


def test_a_key_may_be_the_range() -> None:
    assert spans_of("00:05 - 00:09", "a door opens", 20) == [Span(start=5, end=9, label="a door opens")]
    assert spans_of("caption", "a door opens", 20) == []


def test_two_times_without_an_event() -> None:
    assert spans_of("", [5, 9], 20) == [Span(start=5, end=9)]


@pytest.mark.parametrize(
    "value",
    [None, 5, [5], [5, "door"], [5, 9, 3], [1, 2, 3, 4], {"start": 5}, {"time": "0:05"}, {"start": 5, "end": "late"}],
)
def test_what_is_no_span(value: Any) -> None:
    assert spans_of("", value, 20) == []


@pytest.mark.parametrize(
    ("start", "end", "length", "found"),
    [(5, 30, 20, (5, 20)), (-3, 4, 20, (0, 4)), (25, 30, 20, (20, 20)), (5, 1e9, None, (5, 1e9))],
)
def test_times_lie_in_the_video(start: float, end: float, length: float | None, found: tuple[float, float]) -> None:
    (span,) = spans_of("", {"start": start, "end": end}, length)
    assert (span.start, span.end) == found


@given(st.integers() | st.floats(), st.integers() | st.floats())
def test_every_span_lies_in_the_video(start: float, end: float) -> None:
    for span in spans_of("", [start, end], 20.0):
        assert 0 <= span.start <= span.end <= 20


@pytest.mark.parametrize(
    "line",
    [
        "00:05 - 00:09: a door opens",
        "- **0:05-0:09** a door opens",
        "[00:05 to 00:09] a door opens",
        "<5.0 seconds> - <9.0 seconds> a door opens",
        "5 to 9 seconds: a door opens",
        "5s–9s, a door opens.",
        "a door opens (0:05 until 0:09)",
        "a door opens: 0:05-0:09",
    ],
)
def test_lines_of_text(line: str) -> None:
    text = f"These are the events:\n{line}\nThat is all."
    assert spans_in_text(text, 20) == [Span(start=5, end=9, label="a door opens")]


@pytest.mark.parametrize("text", ["", "3 to 5 cups", "2024-2025", "at 0:05 a door opens", "0:05 and 0:09", "score 3-5"])
def test_text_without_spans(text: str) -> None:
    assert spans_in_text(text, 20) == []


@given(st.text() | st.text(alphabet="0123456789:.- tos<>\n"))
def test_no_text_raises(text: str) -> None:
    for span in spans_in_text(text, 20.0):
        assert 0 <= span.start <= span.end <= 20
    seconds_of(text)
    spans_of(text, text, 20.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (5.26, "0:05.3"), (59.96, "1:00.0"), (65, "1:05.0"), (3723, "62:03.0")]
)
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
    assert seconds_of(text) == pytest.approx(seconds, abs=0.05)
