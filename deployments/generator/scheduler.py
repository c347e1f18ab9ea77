"""Which task takes the next step on a gang: short work first, nobody starves, memory stays within its budget.

Pure decisions over numbers. It knows no Ray, no tensor and no clock: the leader of the gang says what time it is,
carries out what is decided, and says what came of it. Between two steps everything may change.
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
"""A task's remaining seconds count this often: an interactive task of 40 s is as urgent as a standard one of 10 s."""


class TaskTooLarge(RequestError):
    """A task that the gang could not even hold alone."""


@dataclass(frozen=True)
class Limits:
    """What a gang is allowed.

    Attributes:
        memory_bytes: what all resident tasks may hold on a rank.
        max_batch: tasks of one geometry that may share a forward pass; 1 keeps results bit-identical to running alone.
        patience_s: how long a task of each class waits for its next step before it goes ahead of shorter ones.
    """

    memory_bytes: int
    max_batch: int
    patience_s: Mapping[ServiceClass, float]


@dataclass
class Task:
    """A request as the scheduler sees it.

    Attributes:
        id: of the job.
        service_class: how urgent it is.
        memory_bytes: what it holds on a rank while it is resident.
        geometry: tasks of equal geometry may share a forward pass.
        step_seconds: estimate of a step, in seconds.
        steps_left: how many it still needs.
        waiting_since: when it arrived or made its last step, in the leader's seconds.
        resident: whether the ranks hold it.
        cancelled: nobody wants it any more.
    """

    id: str
    service_class: ServiceClass
    memory_bytes: int
    geometry: Hashable
    step_seconds: float
    steps_left: int
    waiting_since: float
    resident: bool = False
    cancelled: bool = False

    @property
    def seconds_left(self) -> float:
        """Work that remains, in seconds of the gang."""
        return self.steps_left * self.step_seconds

    @property
    def urgency(self) -> tuple[float, float, str]:
        """Sorts the most urgent first: the weighted shortest remaining time, then whoever has waited longer."""
        return (self.seconds_left * WEIGHTS[self.service_class], self.waiting_since, self.id)


@dataclass(frozen=True)
class Remove:
    """Forget a cancelled task."""

    task: Task


@dataclass(frozen=True)
class Admit:
    """Bring a task to the ranks: it is to take the next step, alone or beside others."""

    task: Task


@dataclass(frozen=True)
class Evict:
    """Take a task off the ranks, its state kept, to make room for a more urgent one."""

    task: Task


@dataclass(frozen=True)
class Run:
    """Make one step of each of these resident tasks, in one forward pass."""

    tasks: tuple[Task, ...]


Decision = Remove | Admit | Evict | Run


@dataclass
class Scheduler:
    """The tasks of one gang.

    Whoever is overdue goes first, in the order of deadlines, and having made a step is not overdue again before its own
    patience has passed. But a step that patience gave to a task is followed by as many seconds for the most urgent
    ones, so that a gang with more work than its patience covers does not make an image wait for every video.

    The bound on waiting: each task that was there when a patience ended makes at most one step before the task that
    waits, and each such step costs its own time, the same again, and what remains of a step then.
    """

    limits: Limits
    tasks: dict[str, Task] = field(default_factory=dict)
    _decided_at: float = 0.0
    _by_patience: bool = False
    _urgent_until: float = float("-inf")

    def add(self, task: Task) -> None:
        """Take a task in.

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

    def end(self, task: Task) -> None:
        """A task is over, one way or another."""
        self.tasks.pop(task.id, None)

    def next(self, now: float) -> Decision | None:
        """What to do next; None where there is nothing to do."""
        gone = next((task for task in self.tasks.values() if task.cancelled), None)
        if gone is not None:
            return Remove(gone)
        if not self.tasks:
            return None
        chosen = self._choose(now)
        if not chosen.resident:
            return Admit(chosen) if self._fits(chosen) else Evict(self._least_urgent_resident())
        batch = self._batch(chosen)
        absent = next((task for task in batch if not task.resident), None)
        return Run(batch) if absent is None else Admit(absent)

    def stepped(self, tasks: Iterable[Task], now: float) -> None:
        """Some tasks have made the step that was decided last."""
        if self._by_patience:
            self._urgent_until = now + (now - self._decided_at)
        for task in tasks:
            task.steps_left -= 1
            task.waiting_since = now

    def queued_seconds(self) -> float:
        """Work that remains for all tasks, in seconds of this gang."""
        return sum(task.seconds_left for task in self.tasks.values() if not task.cancelled)

    def expected_seconds(self, task: Task) -> float:
        """How long until a task is done: its own work and that of more urgent ones, should nothing else arrive."""
        ahead = (other for other in self.tasks.values() if not other.cancelled and other.urgency < task.urgency)
        return task.seconds_left + sum(other.seconds_left for other in ahead)

    def resident_bytes(self) -> int:
        """What resident tasks hold on a rank."""
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
        """`first` and the most urgent tasks of its geometry that are resident or could be."""
        alike = [task for task in self.tasks.values() if task is not first and task.geometry == first.geometry]
        ready = sorted((task for task in alike if task.resident or self._fits(task)), key=lambda task: task.urgency)
        return (first, *ready[: self.limits.max_batch - 1])
