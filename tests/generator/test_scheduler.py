"""The scheduler, driven by a leader that does nothing but keep time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.generator.scheduler import (
    Begin,
    Evict,
    Limits,
    Remove,
    Run,
    Scheduler,
    Task,
    TaskTooLarge,
)
from deployments.wire.service_class import ServiceClass

BUDGET = 100
PATIENCE = {ServiceClass.INTERACTIVE: 3.0, ServiceClass.STANDARD: 10.0, ServiceClass.BATCH: 40.0}
STANDARD = ServiceClass.STANDARD


def limits(max_batch: int = 1, memory_bytes: int = BUDGET) -> Limits:
    return Limits(memory_bytes, max_batch, PATIENCE)


@dataclass(frozen=True)
class Arrival:
    """A request on its way, and when its client gives up."""

    at: float
    service_class: ServiceClass
    memory_bytes: int
    shape: int
    step_seconds: float
    steps: int
    patience: float | None = None


@dataclass
class Leader:
    """Carries out what a scheduler decides, on a clock of its own, and keeps what happened."""

    scheduler: Scheduler
    now: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    steps_after_cancel: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    order: list[tuple[str, ...]] = field(default_factory=list)
    longest_wait: dict[str, float] = field(default_factory=dict)

    def move(self) -> bool:
        decision = self.scheduler.next(self.now)
        match decision:
            case None:
                return False
            case Remove(task):
                assert task.cancelled
                self._end(task)
            case Begin(task):
                assert not task.resident
                task.resident = True
            case Evict(task):
                assert task.resident
                task.resident = False
            case Run(tasks):
                self._run(tasks)
        assert self.scheduler.resident_bytes() <= self.scheduler.limits.memory_bytes
        return True

    def _run(self, tasks: tuple[Task, ...]) -> None:
        assert 1 <= len(tasks) <= self.scheduler.limits.max_batch
        assert len({task.id for task in tasks}) == len(tasks)
        assert all(task.resident and not task.cancelled for task in tasks)
        assert len({task.shape for task in tasks}) == 1
        self.now += max(task.step_seconds for task in tasks) * len(tasks)
        self.order.append(tuple(task.id for task in tasks))
        for task in tasks:
            self.longest_wait[task.id] = max(self.longest_wait.get(task.id, 0.0), self.now - task.waiting_since)
            self.steps[task.id] += 1
        self.scheduler.stepped(tasks, self.now)
        for task in tasks:
            if task.steps_left == 0:
                self._end(task)

    def _end(self, task: Task) -> None:
        self.scheduler.remove(task)
        self.ends[task.id] += 1


def task_of(number: int, arrival: Arrival, now: float) -> Task:
    return Task(
        id=f"task {number}",
        service_class=arrival.service_class,
        memory_bytes=arrival.memory_bytes,
        shape=arrival.shape,
        step_seconds=arrival.step_seconds,
        steps_left=arrival.steps,
        waiting_since=now,
    )


def run(arrivals: list[Arrival], max_batch: int) -> tuple[Leader, dict[str, Task]]:
    """Let tasks arrive and be cancelled in the middle of the work, until nothing is left."""
    leader, known = Leader(Scheduler(limits(max_batch))), {}
    ahead = sorted(enumerate(arrivals), key=lambda pair: pair[1].at)
    while True:
        while ahead and ahead[0][1].at <= leader.now:
            number, arrival = ahead.pop(0)
            arrived = known[f"task {number}"] = task_of(number, arrival, leader.now)
            leader.scheduler.add(arrived)
        for number, arrival in enumerate(arrivals):
            task = known.get(f"task {number}")
            if task is not None and arrival.patience is not None and leader.now >= arrival.at + arrival.patience:
                task.cancelled = True
        before = {task.id: leader.steps[task.id] for task in known.values() if task.cancelled}
        if not leader.move():
            if not ahead:
                return leader, known
            leader.now = max(leader.now, ahead[0][1].at)
        for task_id, steps in before.items():
            leader.steps_after_cancel[task_id] += leader.steps[task_id] - steps


arrivals = st.lists(
    st.builds(
        Arrival,
        at=st.floats(0, 30),
        service_class=st.sampled_from(list(ServiceClass)),
        memory_bytes=st.integers(1, BUDGET),
        shape=st.integers(0, 2),
        step_seconds=st.floats(0.01, 5),
        steps=st.integers(1, 30),
        patience=st.none() | st.floats(0, 60),
    ),
    max_size=8,
)


@given(arrivals, st.integers(1, 4))
def test_every_task_ends_once_and_makes_all_its_steps(given_tasks: list[Arrival], max_batch: int) -> None:
    leader, known = run(given_tasks, max_batch)
    assert leader.ends == Counter(known.keys())
    assert len(known) == len(given_tasks) and not leader.scheduler.tasks
    for number, arrival in enumerate(given_tasks):
        task = known[f"task {number}"]
        assert leader.steps[task.id] == arrival.steps if not task.cancelled else leader.steps[task.id] <= arrival.steps


@given(arrivals, st.integers(1, 4))
def test_no_step_follows_a_cancel(given_tasks: list[Arrival], max_batch: int) -> None:
    leader, _ = run(given_tasks, max_batch)
    assert not +leader.steps_after_cancel


@given(arrivals, st.integers(1, 4))
def test_no_task_starves(given_tasks: list[Arrival], max_batch: int) -> None:
    leader, known = run(given_tasks, max_batch)
    longest = max((arrival.step_seconds for arrival in given_tasks), default=0.0) * max_batch
    for task_id, waited in leader.longest_wait.items():
        # For each task a step, as long again for more urgent ones, and the rest of a step; and the one under way.
        assert waited <= PATIENCE[known[task_id].service_class] + (3 * len(given_tasks) + 1) * longest + 1e-6


def arrive(leader: Leader, name: str, steps: int, step_seconds: float = 1.0, **fields: object) -> Task:
    values: dict[str, object] = {"service_class": STANDARD, "memory_bytes": 10, "shape": name, **fields}
    task = Task(name, step_seconds=step_seconds, steps_left=steps, waiting_since=leader.now, **values)  # type: ignore[arg-type]
    leader.scheduler.add(task)
    return task


def finish(leader: Leader) -> list[tuple[str, ...]]:
    while leader.move():
        pass
    return leader.order


def test_an_image_overtakes_a_video() -> None:
    leader = Leader(Scheduler(limits()))
    arrive(leader, "video", 40, 0.5)
    while leader.steps["video"] < 20:
        leader.move()
    arrive(leader, "image", 10, 0.05)
    steps = finish(leader)
    first, last = steps.index(("image",)), len(steps) - 1 - steps[::-1].index(("image",))
    assert first == 20 and steps[first : last + 1] == [("image",)] * 10
    assert leader.steps["video"] == 40


def test_a_stream_of_images_does_not_stop_a_video() -> None:
    leader = Leader(Scheduler(limits()))
    arrive(leader, "video", 5, 1.0)
    for number in range(400):
        arrive(leader, f"image {number}", 2, 0.05)
        while f"image {number}" in leader.scheduler.tasks:
            leader.move()
        if "video" not in leader.scheduler.tasks:
            return
    assert leader.steps["video"] >= leader.now / (PATIENCE[STANDARD] + 2) - 1 >= 1


@pytest.mark.parametrize("videos", [1, 2, 7, 16])
@pytest.mark.parametrize("service_class", ServiceClass)
def test_an_image_overtakes_many_videos_that_are_overdue(videos: int, service_class: ServiceClass) -> None:
    leader = Leader(Scheduler(limits(memory_bytes=1000)))
    for number in range(videos):
        arrive(leader, f"video {number}", 35, 5.5, service_class=service_class)
    while len(leader.order) < 3 * videos:
        leader.move()
    image = arrive(leader, "image", 50, 0.03, service_class=ServiceClass.INTERACTIVE)
    before = len(leader.order)
    while image.steps_left:
        leader.move()
    assert sum(group != ("image",) for group in leader.order[before:]) <= 3


def test_an_interactive_task_goes_before_a_shorter_one_of_a_batch() -> None:
    leader = Leader(Scheduler(limits()))
    arrive(leader, "batch", 4, 1.0, service_class=ServiceClass.BATCH)
    arrive(leader, "interactive", 8, 1.0, service_class=ServiceClass.INTERACTIVE)
    assert finish(leader)[:8] == [("interactive",)] * 8


def test_equal_geometry_shares_a_pass_up_to_the_bound() -> None:
    leader = Leader(Scheduler(limits(max_batch=3)))
    for number in range(4):
        arrive(leader, f"image {number}", 2, shape="small")
    arrive(leader, "other", 2)
    assert sorted(map(len, finish(leader)), reverse=True)[:2] == [3, 3]
    assert all(len(group) == 1 for group in leader.order if "other" in group)


def test_without_batching_every_pass_is_of_one_task() -> None:
    leader = Leader(Scheduler(limits()))
    for number in range(4):
        arrive(leader, f"image {number}", 2, shape="small")
    assert all(len(group) == 1 for group in finish(leader)) and len(leader.order) == 8


def test_a_full_gang_makes_room_for_more_urgent_work() -> None:
    leader = Leader(Scheduler(limits(memory_bytes=20)))
    videos = [arrive(leader, f"video {number}", 30, 1.0) for number in range(2)]
    while not all(video.resident for video in videos) and leader.move():
        leader.now += 1
    arrive(leader, "image", 2, 0.1)
    before = len(leader.order)
    finish(leader)
    # A video that is overdue may come between.
    assert leader.order[before : before + 4].count(("image",)) == 2
    assert leader.ends == {"video 0": 1, "video 1": 1, "image": 1}


def test_what_can_never_fit_is_refused_with_the_arithmetic() -> None:
    scheduler = Scheduler(limits(memory_bytes=2_000_000))
    with pytest.raises(TaskTooLarge, match=r"hold 3\.5 MB on a rank, and `resident_bytes` .* allows 2\.0 MB"):
        arrive(Leader(scheduler), "video", 1, memory_bytes=3_500_000)
    assert not scheduler.tasks


def test_expectations() -> None:
    leader = Leader(Scheduler(limits()))
    video, image = arrive(leader, "video", 10, 2.0), arrive(leader, "image", 4, 0.5)
    assert leader.scheduler.expected_seconds(image) == 2.0
    assert leader.scheduler.expected_seconds(video) == 22.0 == leader.scheduler.queued_seconds()
    image.cancelled = True
    assert leader.scheduler.expected_seconds(video) == 20.0 == leader.scheduler.queued_seconds()
