"""Admission: how much unfinished work is accepted, in all and from one API key; beyond it a request is refused.

Pure: the store counts what is unfinished.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deployments.jobs.job import Job
from deployments.settings.front import FrontSettings
from deployments.settings.jobs import BoundSettings

SHORTEST_RETRY_S, LONGEST_RETRY_S = 1, 120
"""OpenAI's SDK does not honour longer waits (spec http_api 1.6)."""


@dataclass(frozen=True)
class Usage:
    """Unfinished jobs and the GPU-seconds that they are expected to take."""

    jobs: int
    gpu_seconds: float


@dataclass(frozen=True)
class Bound:
    """The most work that may be unfinished at a time.

    Attributes:
        jobs: the number of jobs; None is no limit.
        gpu_seconds: the GPU-seconds that they are expected to take; None is no limit.
    """

    jobs: int | None = None
    gpu_seconds: float | None = None

    @classmethod
    def of(cls, settings: BoundSettings) -> Bound:
        """The bound that settings name."""
        return cls(jobs=settings.max_unfinished, gpu_seconds=settings.max_gpu_seconds)

    def half(self) -> Bound:
        """Half of this bound, at least one job."""
        return Bound(
            jobs=None if self.jobs is None else max(1, self.jobs // 2),
            gpu_seconds=None if self.gpu_seconds is None else self.gpu_seconds / 2,
        )


@dataclass(frozen=True)
class Bounds:
    """The bounds of a server.

    Attributes:
        total: the bound on all jobs together.
        default: the bound on each API key that is not in `keys`.
        keys: bounds on single API keys, by their names.
    """

    total: Bound
    default: Bound = Bound()
    keys: dict[str, Bound] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: FrontSettings) -> Bounds:
        """The bounds that settings name."""
        total = Bound.of(settings.admission)
        if not settings.keys:
            default = Bound()
        elif settings.each_key is None:
            default = total.half()
        else:
            default = Bound.of(settings.each_key)
        bounded = set(BoundSettings.model_fields)
        keys = {key.name: Bound.of(key) for key in settings.keys if key.model_fields_set & bounded}
        return cls(total=total, default=default, keys=keys)

    def check(self, job: Job, total: Usage, own: Usage) -> None:
        """Check that there is room for a job.

        Args:
            job: the job.
            total: what is unfinished in all.
            own: what is unfinished of the job's API key.

        Raises:
            QueueFull: there is no room.
        """
        _check(job, self.total, total, "")
        _check(job, self.keys.get(job.api_key, self.default), own, " for this API key")


class QueueFull(Exception):
    """More is unfinished than the operator allows.

    Attributes:
        retry_after_s: how long the client should wait before it asks again.
    """

    def __init__(self, message: str, retry_after_s: int = SHORTEST_RETRY_S) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s


class IdempotencyMismatch(Exception):
    """An idempotency key came again with another request."""


def _check(job: Job, bound: Bound, usage: Usage, scope: str) -> None:
    if bound.jobs is not None and usage.jobs >= bound.jobs:
        each = usage.gpu_seconds / max(1, usage.jobs)
        raise QueueFull(f"{usage.jobs} generations are unfinished{scope}, of at most {bound.jobs}", _retry_after(each))
    if bound.gpu_seconds is None or not usage.jobs:
        # A job that is too large for the bound is accepted when nothing else is unfinished.
        return
    beyond = usage.gpu_seconds + job.gpu_seconds - bound.gpu_seconds
    if beyond > 0:
        message = (
            f"{usage.gpu_seconds:.0f} GPU-seconds are unfinished{scope}, of at most {bound.gpu_seconds:.0f}; "
            f"this request would add {job.gpu_seconds:.0f}"
        )
        raise QueueFull(message, _retry_after(beyond))


def _retry_after(seconds: float) -> int:
    return max(SHORTEST_RETRY_S, min(LONGEST_RETRY_S, round(seconds)))
