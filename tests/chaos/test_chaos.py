"""Jobs of many clients, some of which leave, while every kind of process is killed once: nothing is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.keys import MOST_OF_THE_CROWD, authorization
from tests.chaos.run import drawn, survives
from tests.chaos.schedule import LONG, SHORT, VICTIMS, Size, draw
from tests.chaos.store import Store


@pytest.mark.parametrize(("size", "jobs"), [(SHORT, 72), (LONG, 200)], ids=["short", "long"])
def test_a_schedule_is_its_seeds(size: Size, jobs: int) -> None:
    assert draw(7, size) == draw(7, size) != draw(8, size)
    schedule = draw(7, size)
    fates = Counter(plan.fate for plans in schedule.clients for plan in plans)
    assert fates == size.fates and len(schedule.clients) == size.clients and sum(fates.values()) == jobs
    assert {kill.victim for kill in schedule.kills[: len(VICTIMS)]} == set(VICTIMS)
    assert all(len(plans) >= len(VICTIMS) for plans in schedule.clients)


@pytest.mark.chaos
@pytest.mark.usefixtures("http")
def test_chaos(graph: RunningGraph, data: Path) -> None:
    """The bound on unfinished jobs is that of the clients' API key; what was left behind is swept by test_kills.py."""
    survives(graph, Store(data), drawn(SHORT), authorization("crowd"), MOST_OF_THE_CROWD)
