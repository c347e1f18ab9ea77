"""What guardrails said of a request, as its job and its manifest hold it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from cosmos3_core.provenance import Record

FRAMES = "frames"
"""What a check was of, where it was of no text."""
UPSAMPLED = "upsampled_prompt"

Word = Literal["off", "skipped", "unchecked", "passed", "blurred"]
"""What a finished result says: nothing is checked on the server; not asked for; nothing was there to check; all
allowed; faces were blurred."""


class Outcome(StrEnum):
    """What a guardrail decides, from the mildest to the strictest."""

    ALLOWED = "allowed"
    BLURRED = "blurred"
    BLOCKED = "blocked"


STRICTNESS = tuple(Outcome)


class GuardrailCheck(Record):
    """What one guardrail said of one text, or of all frames.

    Attributes:
        guardrail: its name: blocklist, text_classifier, frames_classifier or face_blur.
        sha256: hash of its files.
        of: the request's field, `upsampled_prompt` or `frames`.
        outcome: what it decided.
        reason: why, where it did not allow it.
    """

    guardrail: str
    sha256: str
    of: str
    outcome: Outcome
    reason: str = ""


class GuardrailRecord(Record):
    """What guardrails said of a result.

    Attributes:
        verdict: `off` where the server checks nothing, `skipped` where the request did not want it, `unchecked` where
            there was no text, and no guardrail of frames, else `passed`, or `blurred` if frames were changed.
        checks: which guardrails ran, on what, and what each said.
    """

    verdict: Word
    checks: tuple[GuardrailCheck, ...] = ()

    @classmethod
    def of(cls, checks: Iterable[GuardrailCheck]) -> GuardrailRecord:
        """The record of a result that was to be checked and was not blocked."""
        found = merged(checks)
        if not found:
            return cls(verdict="unchecked")
        blurred = any(check.outcome is Outcome.BLURRED for check in found)
        return cls(verdict="blurred" if blurred else "passed", checks=found)


def merged(checks: Iterable[GuardrailCheck]) -> tuple[GuardrailCheck, ...]:
    """The strictest check by each guardrail of each thing: frames are checked chunk by chunk."""
    found: dict[tuple[str, str, str], GuardrailCheck] = {}
    for check in checks:
        key = (check.guardrail, check.sha256, check.of)
        before = found.get(key)
        if before is None or STRICTNESS.index(check.outcome) > STRICTNESS.index(before.outcome):
            found[key] = check
    return tuple(found.values())
