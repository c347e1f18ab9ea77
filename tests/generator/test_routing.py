"""Work on its way to gangs, and which gang is asked first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deployments.generator.routing import SEEN_AFTER_S, LeastQueuedWork, SentWork, work_of
from deployments.wire.calls import DenoiseCall


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gang:
    """As much of a replica as the router looks at."""

    replica_id: str
    routing_stats: dict[str, float] = field(default_factory=dict)


def call(flops: float) -> DenoiseCall:
    return DenoiseCall("job", cast(Any, SimpleNamespace(flops=flops)))


class Router(LeastQueuedWork):
    """The router without Serve's machinery around it."""

    def __init__(self, *gangs: Gang) -> None:
        self.gangs = {gang.replica_id: gang for gang in gangs}
        self.requests = 0
        self.initialize_state()

    @property
    def curr_replicas(self) -> Any:
        return self.gangs

    def order(self) -> list[str]:
        ranks = asyncio.run(self.choose_replicas(cast(Any, list(self.gangs.values()))))
        assert all(len(rank) == 1 for rank in ranks)
        return [cast(Any, rank[0]).replica_id for rank in ranks]

    def send(self, flops: float, accepted: bool = True) -> str:
        self.requests += 1
        request = cast(
            Any, SimpleNamespace(args=[call(flops)], metadata=SimpleNamespace(internal_request_id=self.requests))
        )
        first = asyncio.run(self.choose_replicas(cast(Any, list(self.gangs.values())), request))[0][0]
        if accepted:
            self.on_request_routed(request, first.replica_id, None)
        return cast(str, first.replica_id)


def test_sent_work_is_remembered_until_the_gang_says_so_itself() -> None:
    clock = Clock()
    sent = SentWork(clock)
    sent.add("1", "a", 5.0)
    clock.now += SEEN_AFTER_S / 2
    sent.add("2", "a", 2.0)
    assert (sent.seconds("a"), sent.seconds("b")) == (7.0, 0.0)
    sent.add("2", "b", 3.0)
    assert (sent.seconds("a"), sent.seconds("b")) == (5.0, 3.0)
    clock.now += SEEN_AFTER_S / 2
    assert (sent.seconds("a"), sent.seconds("b")) == (0.0, 3.0)
    sent.forget("2")
    assert sent.seconds("b") == 0.0


def test_work_is_in_the_gangs_own_seconds() -> None:
    assert work_of(call(8e12), {"flops_per_second": 4e12}) == 2.0
    assert work_of(call(8e12), {}) > 0
    assert work_of(call(8e12), {"flops_per_second": 0.0}) > 0


def test_images_keep_away_from_a_gang_with_a_video() -> None:
    router = Router(
        Gang("busy", {"queued_seconds": 60.0, "flops_per_second": 1e12}),
        Gang("free", {"queued_seconds": 0.0, "flops_per_second": 1e12}),
    )
    assert [router.send(0.5e12) for _ in range(10)] == ["free"] * 10


@pytest.mark.parametrize("accepted", [True, False], ids=["one by one", "at once"])
@pytest.mark.parametrize("videos", [2, 7])
def test_equal_gangs_share_equal_work(videos: int, accepted: bool) -> None:
    router = Router(*(Gang(name, {"flops_per_second": 1e12}) for name in "ab"))
    sent = [router.send(30e12, accepted) for _ in range(videos)]
    assert abs(sent.count("a") - sent.count("b")) <= 1


def test_a_new_gang_that_has_said_nothing_is_free() -> None:
    assert Router(Gang("busy", {"queued_seconds": 1.0}), Gang("new")).order() == ["new", "busy"]
