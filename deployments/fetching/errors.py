"""Why a file was not fetched."""

from __future__ import annotations

from enum import StrEnum

from cosmos3_core.errors import CosmosError


class Outcome(StrEnum):
    """How an attempt to fetch a file ended, as metrics count it."""

    FETCHED = "fetched"
    CACHED = "cached"
    READ = "read"
    REFUSED = "refused"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    BUSY = "busy"


class FetchError(CosmosError):
    """A file that was not fetched.

    Attributes:
        reason: the rest of a sentence that begins with the client's field. It quotes neither the address nor anything
            that a host sent, and is the same for a host that does not exist and for one that may not be reached.
        outcome: what metrics count.
        detail: what only the operator's log says; empty if the reason says it all.
    """

    def __init__(self, reason: str, outcome: Outcome = Outcome.FAILED, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome = outcome
        self.detail = detail


def busy() -> FetchError:
    """A file that is not fetched because too much else is."""
    return FetchError("cannot be fetched now, because other files are; try again later", Outcome.BUSY)
