"""How large a regular expression is once its counted repetitions are written out, without reading it otherwise.

vLLM compiles a client's expressions. `(a{1,1000}){1,1000}` is short and stands for a million letters, and a hundred
optional parts in a row take a minute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cosmos3_core.errors import RequestError

MAX_CHARACTERS = 16 * 2**10
MAX_REPEATS = 64
MAX_WRITTEN_OUT = 128 * 2**10
MAX_GROUPS = 200
"""The depth of groups in each other; xgrammar reads them recursively."""
_REPEAT = re.compile(r"(?:[*+?]|\{(\d{0,9})(,?)(\d{0,9})\})[?+]?", re.ASCII)
_OPENING = re.compile(r"\((?:\?(?:[:=!]|<[=!]|P?<\w{1,64}>))?")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[pP]\{\w{1,32}\}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


@dataclass
class PatternSize:
    """The size of an expression.

    Attributes:
        repeats: its operators `*`, `+`, `?` and `{m,n}`.
        written_out: the single characters that it stands for, with each counted repetition written out.
        groups: the most groups inside of each other.
    """

    repeats: int = 0
    written_out: int = 0
    groups: int = 0


def size_of(pattern: str) -> PatternSize:
    """The size of an expression; one that is malformed has some size too, and is refused by whoever compiles it."""
    size = PatternSize()
    # The length of each open group so far, and of what stands right before this place.
    open_groups, last, place = [0], 0, 0
    # A class without an end is looked for up to the last character, and none behind it has an end either.
    closed = True
    while place < len(pattern):
        character = pattern[place]
        repeat = _REPEAT.match(pattern, place) if character in "*+?{" else None
        opening = _OPENING.match(pattern, place) if character == "(" else None
        if repeat:
            size.repeats += 1
            times = _times(repeat)
            open_groups[-1] += last * (times - 1)
            last, place = last * times, repeat.end()
        elif opening:
            open_groups.append(0)
            size.groups = max(size.groups, len(open_groups) - 1)
            last, place = 0, opening.end()
        elif character == ")" and len(open_groups) > 1:
            last = open_groups.pop()
            open_groups[-1] += last
            place += 1
        else:
            found = _ESCAPE.match(pattern, place) if character == "\\" else None
            if character == "[" and closed:
                found = _CLASS.match(pattern, place)
                closed = found is not None
            last, place = 1, found.end() if found else place + 1
            open_groups[-1] += 1
    size.written_out = sum(open_groups)
    return size


def check_pattern(field: str, pattern: str) -> PatternSize:
    """Refuse an expression that is too large; returns its size.

    Raises:
        RequestError: with the client's name of the field.
    """
    if len(pattern) > MAX_CHARACTERS:
        raise RequestError(field, f"has {len(pattern)} characters; expected at most {MAX_CHARACTERS}")
    size = size_of(pattern)
    for found, most, what in (
        (size.repeats, MAX_REPEATS, "repetitions"),
        (size.written_out, MAX_WRITTEN_OUT, "characters when its repetitions are written out"),
        (size.groups, MAX_GROUPS, "groups inside of each other"),
    ):
        if found > most:
            raise RequestError(field, f"has {_shown(found)} {what}; expected at most {most}")
    return size


def _times(repeat: re.Match[str]) -> int:
    least, comma, most = repeat.groups()
    return max(int(least or 0), int(most or 0) if comma else 0, 1)


def _shown(number: int) -> str:
    return str(number) if number < 10**9 else "more than a billion"
