"""The size of regular expressions with their repetitions written out."""

from __future__ import annotations

import time

import pytest

from cosmos3_core.errors import RequestError
from deployments.ingress.requests.reasoner.patterns import MAX_CHARACTERS, PatternSize, check_pattern, size_of


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", PatternSize()),
        ("abc", PatternSize(0, 3, 0)),
        ("a{3}", PatternSize(1, 3, 0)),
        ("a{2,5}b", PatternSize(1, 6, 0)),
        ("a{2,}", PatternSize(1, 2, 0)),
        ("a{,5}", PatternSize(1, 5, 0)),
        ("(ab){3}c*", PatternSize(2, 7, 1)),
        ("(a{1,1000}){1,1000}", PatternSize(2, 1_000_000, 1)),
        ("((a{10}){10}){10}", PatternSize(3, 1000, 2)),
        ("(?:x|yz){4}", PatternSize(1, 16, 1)),
        (r"\{3\}", PatternSize(0, 3, 0)),
        (r"[{3}*+?]{4}", PatternSize(1, 4, 0)),
        (r"[]*]{2}[^]\]+]", PatternSize(1, 3, 0)),
        (r"\u4e00{5}\d+?", PatternSize(2, 6, 0)),
        ("a{b}", PatternSize(0, 4, 0)),
        ("(((", PatternSize(0, 0, 3)),
        (")))", PatternSize(0, 3, 0)),
        ("[", PatternSize(0, 1, 0)),
        ("\\", PatternSize(0, 1, 0)),
    ],
)
def test_sizes(pattern: str, size: PatternSize) -> None:
    assert size_of(pattern) == size


@pytest.mark.parametrize(
    "pattern",
    [
        "(a{1,1000}){1,1000}",
        "a{999999999}",
        "x" * 20_000,
        "a?" * 65,
        "(" * 201,
        "(((a{99}){99}){99}){99}",
        "[" * 17_000,
    ],
)
def test_too_large(pattern: str) -> None:
    with pytest.raises(RequestError, match="expected at most") as caught:
        check_pattern("field", pattern)
    assert len(str(caught.value)) < 200


def test_the_largest() -> None:
    check_pattern("field", ".{0,2000}")
    check_pattern("field", "a?" * 64)
    check_pattern("field", "(" * 200)


@pytest.mark.parametrize(
    "part",
    [
        "[",
        "[^",
        "[]",
        "[^]",
        "[\\]",
        "[[]",
        "(",
        "(?P<a",
        "(?",
        "\\",
        "\\p{",
        "{9",
        "a{999999999}",
        "(a{999999999})",
        "][",
    ],
)
@pytest.mark.parametrize("end", ["", "]"])
def test_any_is_measured_in_little_time(part: str, end: str) -> None:
    pattern = (part * MAX_CHARACTERS)[: MAX_CHARACTERS - 1] + end
    started = time.thread_time()
    size_of(pattern)
    assert time.thread_time() - started < 0.1
