"""The two kinds of guardrails: those that read texts, and those that look at frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.errors import CosmosError
from cosmos3_core.guardrails.record import Outcome

if TYPE_CHECKING:
    from cosmos3_core.guardrails.record import GuardrailCheck

Frames = NDArray[np.uint8]
Wanted = Callable[[], bool]


class GuardrailError(CosmosError):
    """A guardrail cannot be loaded or used; the message says what to do."""


class NotWanted(Exception):
    """Nobody waits for the verdict any more."""


def always() -> bool:
    """A verdict that is wanted to the end."""
    return True


class ContentBlocked(CosmosError):
    """A guardrail has blocked a text or a result.

    Attributes:
        check: what it said.
    """

    def __init__(self, check: GuardrailCheck) -> None:
        self.check = check
        what = "Output" if check.of == "frames" else "Input"
        super().__init__(f"{what} was blocked by Cosmos3 guardrails. {check.of} {check.reason} ({check.guardrail})")

    def __reduce__(self) -> tuple[type[ContentBlocked], tuple[GuardrailCheck]]:
        return type(self), (self.check,)


@dataclass(frozen=True)
class Verdict:
    """What a guardrail says.

    Attributes:
        outcome: what it decides.
        reason: why, starting with a verb, where it does not allow it.
    """

    outcome: Outcome = Outcome.ALLOWED
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it does not block."""
        return self.outcome is not Outcome.BLOCKED


ALLOWED = Verdict()


def blocked(reason: str) -> Verdict:
    """A verdict that blocks."""
    return Verdict(Outcome.BLOCKED, reason)


class TextGuardrail(Protocol):
    """Reads texts. It may be called by one thread at a time.

    Attributes:
        name: as in `GuardrailCheck`.
        sha256: hash of its files.
    """

    name: str
    sha256: str

    def check(self, text: str, wanted: Wanted = always) -> Verdict:
        """The verdict on a text.

        Args:
            text: the text.
            wanted: asked now and then, where the verdict takes long, whether somebody still waits for it.

        Raises:
            NotWanted: nobody does.
            Exception: it cannot tell. The caller must not take that for a verdict.
        """


class FramesGuardrail(Protocol):
    """Looks at frames. It may be called by one thread at a time.

    Attributes:
        name: as in `GuardrailCheck`.
        sha256: hash of its files.
    """

    name: str
    sha256: str

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        """The verdict on frames, uint8 `[frames, height, width, 3]`, and the frames to show, which may be the same.

        Raises:
            Exception: it cannot tell. The caller must not take that for a verdict.
        """
