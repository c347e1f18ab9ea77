"""Errors that a caller can act on. Each names what is wrong and what would be right."""

from __future__ import annotations


class CosmosError(Exception):
    """Base of the errors this package raises on purpose."""


class CheckpointError(CosmosError):
    """A checkpoint cannot be found, read or trusted; the message says what to do."""


class RequestError(CosmosError, ValueError):
    """A request that cannot be served as asked.

    Attributes:
        field: the request's field at fault.
        reason: the rest of the sentence, starting with a verb: `is 3; expected ...`.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[type[RequestError], tuple[str, str]]:
        return type(self), (self.field, self.reason)


class NotFinite(CosmosError):
    """The model has made values that are not finite numbers."""
