"""Thousands of requests that nobody would send on purpose: each is answered, in the right form, and costs no memory.

`COSMOS3_FUZZ_REQUESTS` sets how many are sent at least, within `COSMOS3_FUZZ_SECONDS`; without it they are what two
minutes hold. Some more come first, to warm the graph up. `COSMOS3_TEST_SEED` draws the same ones again.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.fuzz import described
from tests.fuzz.attempts import attempt
from tests.fuzz.campaign import Campaign
from tests.fuzz.sending import Outcome
from tests.graph.events import submitted
from tests.graph.figures import settled
from tests.graph.processes import lives, until
from tests.graph.resident import Peaks, Sizes, grown, resident, table
from tests.surface.reading import completed

COUNT = int(os.environ.get("COSMOS3_FUZZ_REQUESTS") or 0)
SECONDS = float(os.environ.get("COSMOS3_FUZZ_SECONDS") or 110)
KEPT = Path(os.environ.get("COSMOS3_FUZZ_KEPT") or "out/fuzz").absolute()
WARM_UP = 0.3
"""The share of the time for requests that fill caches and start what starts late, before memory is looked at."""
DESCRIBED = 0.3
"""The share of schemathesis in what is sent."""
ENDLESS = 10**9
LARGEST: tuple[dict[str, Any], ...] = (
    {"prompt": "a robot", "num_frames": 5, "num_inference_steps": 1},
    {"prompt": "a robot", "size": "64x64", "num_inference_steps": 1},
)
"""Bodies that have lost their size or length: stages keep some of the memory that their largest request took."""
MOST_GROWN = 0.1
GROWING = frozenset({"proxy", "Ingress", "Jobs", "Reasoner"})
"""The parts that are known to exceed it, for a reason that has not been found; the test then counts as failing."""
SHORT_SEED = 41
SETTLES_WITHIN_S = 60.0


def seed() -> int:
    """The seed in the environment; else a new one for a long run, and always the same for two minutes."""
    new = random.SystemRandom().randrange(10**6) if COUNT else SHORT_SEED
    return int(os.environ.get("COSMOS3_TEST_SEED") or new)


def test_an_attempt_is_its_seeds() -> None:
    first = [attempt(7, number) for number in range(2000)]
    assert [attempt(7, number) for number in reversed(range(2000))] == first[::-1]
    assert attempt(8, 1) != attempt(7, 1)
    assert 0 < sum(not one.sound for one in first) < 200
    assert len({one.content for one in first}) > 1500


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.timeout(SECONDS + described.GRACE_S + 3 * SETTLES_WITHIN_S + 120)
def test_fuzz(graph: RunningGraph, client: Client) -> None:
    drawn = seed()
    print(f"\nCOSMOS3_TEST_SEED={drawn}; what goes wrong is kept in {KEPT}")
    begun = time.monotonic()
    with httpx.Client(base_url=graph.url, timeout=60) as http:
        for fields in LARGEST:
            completed(http, submitted(http, fields))
    sent, wrong = _sent(graph.url, drawn + 1, int(WARM_UP * COUNT), WARM_UP * SECONDS)
    settled(client)
    before, peaks = resident(graph.processes()), Peaks(graph.processes)
    stages = {process.pid for process in graph.processes() if "ServeReplica" in process.name()}
    with peaks.watched():
        more, wrong_too = _sent(graph.url, drawn, COUNT, (1 - WARM_UP) * SECONDS)
    settled(client)
    after = _settled_memory(graph, before)
    print(f"\n{sent + more} requests in {time.monotonic() - begun:.0f} s; the largest process of each part, in MiB:")
    print(table(before, peaks.largest, after), flush=True)
    assert not [*wrong, *wrong_too]
    assert all(map(lives, stages))
    assert more >= COUNT
    shares = grown(before, after, MOST_GROWN)
    assert not shares.keys() - GROWING, shares
    if shares:
        pytest.xfail(f"memory is not back within {MOST_GROWN:.0%}: {shares}")


def _sent(url: str, drawn: int, count: int, seconds: float) -> tuple[int, list[str]]:
    """Send so many requests, or what fits into the time: how many they were, and what went wrong.

    A count of 0 is no limit.
    """
    found = described.run(url, drawn, DESCRIBED * seconds, KEPT)
    campaign = Campaign(httpx.URL(url), drawn, KEPT)
    campaign.run(max(count - found.sent, 0) if count else ENDLESS, (1 - DESCRIBED) * seconds)
    return found.sent + campaign.answers.total(), [*found.failures, *map(Outcome.summary, campaign.faulty)]


def _settled_memory(graph: RunningGraph, before: Sizes) -> Sizes:
    """What is held once it is no more than it may be, or after a while."""
    until(lambda: not grown(before, resident(graph.processes()), MOST_GROWN), SETTLES_WITHIN_S)
    return resident(graph.processes())
