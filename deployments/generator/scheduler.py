"""Which task takes the next step on a gang: short work first, no task starves, memory stays within its budget.

The scheduler only decides, over numbers. It knows no Ray, no tensor and no clock: the gang's leader tells it the time,
carries out its decisions and reports what came of them. Between two steps everything may change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from cosmos3_core.errors import RequestError
from deployments.wire.service_class import ServiceClass

WEIGHTS: Mapping[ServiceClass, float] = {
    ServiceClass.INTERACTIVE: 1.0,
    ServiceClass.STANDARD: 4.0,
    ServiceClass.BATCH: 16.0,
}
"""Factors on a task's remaining seconds: an interactive task of 40 s is as urgent as a standard one of 10 s."""


class TaskTooLarge(RequestError):
    """A task that the gang could not hold even alone."""


@dataclass(frozen=True)
class Limits:
    """The limits of a gang.

    Attributes:
        memory_bytes: what all resident tasks together may hold on a rank.
        max_batch: tasks of one shape that may share a forward pass; 1 keeps results bit-identical to running alone.
        patience_s: how long a task of each class waits for its next step before it goes ahead of shorter ones.
    """

    memory_bytes: int
    max_batch: int
    patience_s: Mapping[ServiceClass, float]


@dataclass
class Task:
    """A request as the scheduler sees it.

    Attributes:
        id: the task's id.
        service_class: how urgent it is.
        memory_bytes: what it holds on a rank while it is resident.
        shape: the shape of its steps; tasks of equal shape may share a forward pass.
        step_seconds: the estimated seconds of a step.
        steps_left: the number of steps it still needs.
        waiting_since: when it arrived or made its last step, by the leader's clock.
        resident: whether the ranks hold it.
        cancelled: whether its caller no longer wants it.
    """

    id: str
    service_class: ServiceClass
    memory_bytes: int
    shape: Hashable
    step_seconds: float
    steps_left: int
    waiting_since: float
    resident: bool = False
    cancelled: bool = False

    @property
    def seconds_left(self) -> float:
        """The work that remains, in seconds of the gang."""
        return self.steps_left * self.step_seconds

    @property
    def urgency(self) -> tuple[float, float, str]:
        """A sort key with the most urgent task first: least weighted time left, then longest wait."""
        return (self.seconds_left * WEIGHTS[self.service_class], self.waiting_since, self.id)


@dataclass(frozen=True)
class Remove:
    """Remove a cancelled task."""

    task: Task


@dataclass(frozen=True)
class Begin:
    """Make a task resident on the ranks, so that it can take the next step, alone or together with others."""

    task: Task


@dataclass(frozen=True)
class Evict:
    """Take a task off the ranks and keep its state, to make room for a more urgent one."""

    task: Task


@dataclass(frozen=True)
class Run:
    """Make one step of each of these resident tasks in one forward pass."""

    tasks: tuple[Task, ...]


Decision = Remove | Begin | Evict | Run


@dataclass
class Scheduler:
    """The tasks of one gang.

    Overdue tasks go first, in the order of their deadlines. A task that has made a step is overdue again only after its
    patience has passed once more. A step that a task got because it was overdue is followed by as many seconds for the
    most urgent tasks, so that an image need not wait for every video when the gang has more work than patience covers.

    The bound on waiting: when a task becomes overdue, each other task makes at most one step before it. Each such step
    costs its own time, the same time again, and what then remains of a running step.
    """

    limits: Limits
    tasks: dict[str, Task] = field(default_factory=dict)
    _decided_at: float = 0.0
    _by_patience: bool = False
    _urgent_until: float = float("-inf")

    def add(self, task: Task) -> None:
        """Add a task.

        Raises:
            TaskTooLarge: it could never run.
        """
        if task.memory_bytes > self.limits.memory_bytes:
            raise TaskTooLarge(
                "size",
                f"and length would hold {task.memory_bytes / 1e6:.1f} MB on a rank, and `resident_bytes` of the "
                f"Generator allows {self.limits.memory_bytes / 1e6:.1f} MB; ask for fewer frames, a smaller size or "
                "less text",
            )
        self.tasks[task.id] = task

    def remove(self, task: Task) -> None:
        """Remove a task that has finished, failed or been cancelled."""
        self.tasks.pop(task.id, None)

    def next(self, now: float) -> Decision | None:
        """What to do next; None if there is nothing to do."""
        cancelled = next((task for task in self.tasks.values() if task.cancelled), None)
        if cancelled is not None:
            return Remove(cancelled)
        if not self.tasks:
            return None
        chosen = self._choose(now)
        if not chosen.resident:
            return Begin(chosen) if self._fits(chosen) else Evict(self._least_urgent_resident())
        batch = self._batch(chosen)
        absent = next((task for task in batch if not task.resident), None)
        return Run(batch) if absent is None else Begin(absent)

    def stepped(self, tasks: Iterable[Task], now: float) -> None:
        """Record that some tasks have made the step that was decided last."""
        if self._by_patience:
            self._urgent_until = now + (now - self._decided_at)
        for task in tasks:
            task.steps_left -= 1
            task.waiting_since = now

    def queued_seconds(self) -> float:
        """The work that remains for all tasks, in seconds of this gang."""
        return sum(task.seconds_left for task in self.tasks.values() if not task.cancelled)

    def expected_seconds(self, task: Task) -> float:
        """Seconds until a task is done: its own work and that of more urgent tasks, if nothing else arrives."""
        ahead = (other for other in self.tasks.values() if not other.cancelled and other.urgency < task.urgency)
        return task.seconds_left + sum(other.seconds_left for other in ahead)

    def resident_bytes(self) -> int:
        """What the resident tasks hold on a rank."""
        return sum(task.memory_bytes for task in self.tasks.values() if task.resident)

    def _deadline(self, task: Task) -> float:
        return task.waiting_since + self.limits.patience_s[task.service_class]

    def _choose(self, now: float) -> Task:
        most_urgent = chosen = min(self.tasks.values(), key=lambda task: task.urgency)
        overdue = [task for task in self.tasks.values() if self._deadline(task) <= now]
        if overdue and now >= self._urgent_until:
            chosen = min(overdue, key=lambda task: (self._deadline(task), task.id))
        self._decided_at, self._by_patience = now, chosen is not most_urgent
        return chosen

    def _fits(self, task: Task) -> bool:
        return self.resident_bytes() + task.memory_bytes <= self.limits.memory_bytes

    def _least_urgent_resident(self) -> Task:
        return max((task for task in self.tasks.values() if task.resident), key=lambda task: task.urgency)

    def _batch(self, first: Task) -> tuple[Task, ...]:
        """`first`, and the most urgent other tasks of its shape that are resident or fit."""
        alike = [task for task in self.tasks.values() if task is not first and task.shape == first.shape]
        ready = sorted((task for task in alike if task.resident or self._fits(task)), key=lambda task: task.urgency)
        return (first, *ready[: self.limits.max_batch - 1])
