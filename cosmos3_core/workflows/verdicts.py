"""Reads whether something is called plausible, from a JSON value or from sentences."""

from __future__ import annotations

import re
from typing import Any

_YES, _NO = ("yes", "true"), ("no", "false")
_DENIED = re.compile(
    r"\b(?:implausible|impossible|unrealistic)\b"
    r"|(?:\bnot|n.t)\s+(?:\w+\s+)?(?:plausible|possible|realistic)\b",
    re.IGNORECASE,
)
_STATED = re.compile(r"\b(?:plausible|realistic)\b", re.IGNORECASE)


def plausibility(value: Any) -> bool | None:
    """Whether a value says plausible (True) or implausible (False); None where it says neither or both."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    word = value.strip().strip(".!*\"'").lower()
    if word in (*_YES, *_NO):
        return word in _YES
    rest, denied = _DENIED.subn(" ", value)
    stated = _STATED.search(rest) is not None
    return stated if stated != bool(denied) else None
