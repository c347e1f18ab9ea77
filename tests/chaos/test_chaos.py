"""Two hundred jobs of twenty clients, some of which leave, while every kind of process is killed: nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.clients import ChaosClient, Outcome
from tests.chaos.paired import paired_recipe
from tests.chaos.schedule import CLIENTS, FATES, VICTIMS, Kill, Victim, draw
from tests.graph.processes import RANK, replica, titled, until
from tests.graph.starting import started

# Few enough that twenty clients at once are told to come back later.
MOST_UNFINISHED = 8
MOST_TRIES = 3
STRAY_AFTER_S = 60.0
QUIET_WITHIN_S = 180.0
TITLES: dict[Victim, str] = {
    "Ingress": replica("Ingress", "front"),
    "Jobs": replica("Jobs", "front"),
    "Encoder": replica("Encoder", "tiny"),
    "leader": replica("Generator", "tiny"),
    "rank": RANK,
    "Decoder": replica("Decoder", "decoder"),
}
LAST = ("done", "failed", "cancelled")


def test_a_schedule_is_its_seeds() -> None:
    assert draw(7) == draw(7) != draw(8)
    schedule = draw(7)
    fates = Counter(plan.fate for plans in schedule.clients for plan in plans)
    assert fates == FATES and len(schedule.clients) == CLIENTS and sum(fates.values()) == 200
    assert {kill.victim for kill in schedule.kills[: len(VICTIMS)]} == set(VICTIMS)


class Killer(threading.Thread):
    """Kills as it is scheduled until it is stopped."""

    def __init__(self, graph: RunningGraph, kills: tuple[Kill, ...]) -> None:
        super().__init__(daemon=True)
        self.graph, self.kills = graph, kills
        self.stopping = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        begun = time.monotonic()
        for kill in self.kills:
            if self.stopping.wait(kill.pause_s):
                return
            candidates = sorted(titled(TITLES[kill.victim], self.graph.processes()))
            # One that is being replaced cannot be killed again.
            if candidates:
                os.kill(candidates[int(kill.choice * len(candidates))], signal.SIGKILL)
                self.killed.append(kill.victim)
                print(f"{time.monotonic() - begun:6.1f} s: killed {kill.victim}", flush=True)


class Store:
    """The jobs as the database has them, read beside the graph."""

    def __init__(self, data: Path) -> None:
        self.path = data / "jobs.sqlite3"
        self.most = 0
        self._stopping = threading.Event()

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    def unfinished(self) -> int:
        ((count,),) = self.rows("select count(*) from jobs where status not in ('completed', 'failed')")
        return int(count)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the most that is unfinished at any time."""

        def watch() -> None:
            while not self._stopping.wait(0.1):
                self.most = max(self.most, self.unfinished())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_chaos(tmp_path: Path) -> None:
    seed = int(os.environ.get("COSMOS3_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nCOSMOS3_TEST_SEED={seed}")
    schedule, store = draw(seed), Store(tmp_path)
    retention = {"sweep_interval_s": 2.0, "stray_after_s": STRAY_AFTER_S}
    config = paired_recipe(tmp_path, admission={"max_unfinished": MOST_UNFINISHED}, retention=retention)
    with started(config, tmp_path / "log") as graph:
        killer, begun = Killer(graph, schedule.kills), time.monotonic()
        killer.start()
        with store.watched(), ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(ChaosClient(graph.url, plans, begun).run) for plans in schedule.clients]
            outcomes = [outcome for client in clients for outcome in client.result()]
        took = time.monotonic() - begun
        killer.stopping.set()
        killer.join()
        report(outcomes, killer, store, took)
        assert until(lambda: not store.rows("select id from jobs where not detached") and not store.unfinished(), 180)
        assert until(lambda: not strays(tmp_path, store), QUIET_WITHIN_S), strays(tmp_path, store)
    check_outcomes(outcomes)
    check_jobs(outcomes, store)
    assert store.most <= MOST_UNFINISHED and any(outcome.refusals for outcome in outcomes)
    assert set(killer.killed) == set(VICTIMS), killer.killed


def report(outcomes: list[Outcome], killer: Killer, store: Store, took: float) -> None:
    endings = Counter((outcome.plan.fate, outcome.ending) for outcome in outcomes)
    refusals = sum(outcome.refusals for outcome in outcomes)
    interruptions = Counter(len(outcome.answer.get("interruptions", ())) for outcome in outcomes)
    print(f"{took:.0f} s, {len(killer.killed)} kills, {refusals} times 429, at most {store.most} unfinished")
    print(f"interruptions per job: {dict(sorted(interruptions.items()))}", flush=True)
    print(f"endings: {dict(sorted(endings.items()))}", flush=True)


def check_outcomes(outcomes: list[Outcome]) -> None:
    """Every job that nobody cancelled is completed, or names as many interruptions as it had tries; those are few."""
    wanted = [outcome for outcome in outcomes if outcome.plan.fate not in ("cancel", "disconnect")]
    failed = [outcome for outcome in wanted if outcome.ending != "completed"]
    for outcome in failed:
        assert outcome.ending == "failed"
        if outcome.plan.fate == "image":
            assert outcome.answer["message"].startswith(f"gave up after {MOST_TRIES} tries"), outcome
        else:
            assert len(outcome.answer["interruptions"]) >= MOST_TRIES, outcome
    assert len(failed) <= 0.05 * len(wanted), failed


def check_jobs(outcomes: list[Outcome], store: Store) -> None:
    """The database holds exactly the jobs that were not cancelled, each with one end and its events in order."""
    status = dict(store.rows("select id, status from jobs"))
    expected = {outcome.job: outcome.ending for outcome in outcomes if outcome.job and outcome.ending != "cancelled"}
    assert status == expected
    events: dict[str, list[tuple[int, str, dict[str, Any]]]] = {job: [] for job in status}
    for job, number, kind, text in store.rows("select job_id, number, kind, data from events order by job_id, number"):
        events[job].append((number, kind, json.loads(text)))
    for job, told in events.items():
        kinds = [kind for _, kind, _ in told]
        assert [kind in LAST for kind in kinds] == [False] * (len(kinds) - 1) + [True], (job, kinds)
        assert kinds[-1] == {"completed": "done", "failed": "failed"}[status[job]]
        tries = [data["try"] for _, kind, data in told if kind == "started"]
        assert tries == sorted(set(tries)), (job, told)


def strays(data: Path, store: Store) -> list[str]:
    """Files without a job that wants them, and files that a job wants and that are not there."""
    found = {path.name for folder in ("inputs", "snapshots", "outputs") for path in (data / "media" / folder).glob("*")}
    results = store.rows("select result from jobs where status = 'completed'")
    kept = {json.loads(result)["uri"].rpartition("/")[2] for (result,) in results}
    return sorted(found ^ kept)
