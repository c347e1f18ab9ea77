"""What a trial is asked, and what it finds. It imports nothing of the libraries that try."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

WALL_SECONDS: Final = 300
"""A trial on a machine that has no time for it ends after that."""


class NotTried(RuntimeError):
    """A grammar could not be tried, for no fault of its own; its message is for the client."""


class Kind(StrEnum):
    """The forms of what an answer may have to follow."""

    JSON = "json"
    REGEX = "regex"
    GRAMMAR = "grammar"
    LARK = "lark"
    TAG = "tag"


class Verdict(StrEnum):
    """How a grammar behaves. Those that are neither `good` nor `unread` are refused."""

    GOOD = "good"
    UNREAD = "unread"
    SLOW_TO_READ = "slow to read"
    SLOW_TO_COMPILE = "slow to compile"
    SLOW_TO_FOLLOW = "slow to follow"
    TOO_LARGE = "too large"


REFUSALS: Final = {
    Verdict.SLOW_TO_READ: "takes too long to read; expected a simpler one",
    Verdict.SLOW_TO_COMPILE: "takes too long to compile; expected a simpler one, with fewer or smaller repetitions",
    Verdict.SLOW_TO_FOLLOW: (
        "can be followed in so many ways that each token takes too long; expected repetitions that do not overlap, "
        "such as (word, )* in place of (word,? ?){1,50}"
    ),
    Verdict.TOO_LARGE: "takes too much memory to compile; expected a smaller one",
}
