"""How much unfinished work is taken in, in all and from one API key; beyond it a request is refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from deployments.jobs.job import Job

SHORTEST_RETRY_S, LONGEST_RETRY_S = 1, 120
"""OpenAI's SDK does not honour longer waits (spec http_api 1.6)."""


@dataclass(frozen=True)
class Usage:
    """Unfinished jobs and the GPU-seconds that they are expected to take."""

    jobs: int
    gpu_seconds: float


@dataclass(frozen=True)
class Bound:
    """The most that may be unfinished; None bounds nothing."""

    jobs: int | None = None
    gpu_seconds: float | None = None

    def half(self) -> Bound:
        """What leaves as much for others."""
        jobs = None if self.jobs is None else max(1, self.jobs // 2)
        return Bound(jobs, None if self.gpu_seconds is None else self.gpu_seconds / 2)


@dataclass(frozen=True)
class Bounds:
    """The bounds of a server.

    Attributes:
        total: on everything.
        default: on each API key that is not in `keys`.
        keys: on single API keys, by their names.
    """

    total: Bound
    default: Bound = Bound()
    keys: dict[str, Bound] = field(default_factory=dict)

    def check(self, job: Job, total: Usage, own: Usage) -> None:
        """See whether there is room for a job beside what is unfinished in all and of its API key.

        Raises:
            QueueFull: there is not.
        """
        _check(job, self.total, total, "")
        _check(job, self.keys.get(job.api_key, self.default), own, " for this API key")


class QueueFull(Exception):
    """More is unfinished than the operator allows.

    Attributes:
        retry_after_s: when to ask again.
    """

    def __init__(self, message: str, retry_after_s: int = SHORTEST_RETRY_S) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s


class IdempotencyMismatch(Exception):
    """An idempotency key came again with another request."""


def _check(job: Job, bound: Bound, usage: Usage, whose: str) -> None:
    if bound.jobs is not None and usage.jobs >= bound.jobs:
        each = usage.gpu_seconds / max(1, usage.jobs)
        raise QueueFull(f"{usage.jobs} generations are unfinished{whose}, of at most {bound.jobs}", _retry_after(each))
    if bound.gpu_seconds is None or not usage.jobs:
        # A job that is too large for the bound runs where it runs alone.
        return
    beyond = usage.gpu_seconds + job.gpu_seconds - bound.gpu_seconds
    if beyond > 0:
        message = (
            f"{usage.gpu_seconds:.0f} GPU-seconds are unfinished{whose}, of at most {bound.gpu_seconds:.0f}; "
            f"this request would add {job.gpu_seconds:.0f}"
        )
        raise QueueFull(message, _retry_after(beyond))


def _retry_after(seconds: float) -> int:
    return max(SHORTEST_RETRY_S, min(LONGEST_RETRY_S, round(seconds)))
