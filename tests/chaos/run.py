"""A run of chaos: clients do what is scheduled while processes are killed, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments.local.launch import RunningGraph
from tests.chaos.clients import ChaosClient, Outcome
from tests.chaos.killing import KINDS
from tests.chaos.schedule import VICTIMS, Kill, Schedule, Size, Victim, draw
from tests.chaos.store import Store
from tests.graph.processes import titled, until

MOST_TRIES = 3
OVER_WITHIN_S = 180.0
TITLES: dict[Victim, str] = {name: KINDS["Generator" if name == "leader" else name].title for name in VICTIMS}
LAST = ("done", "failed", "cancelled")


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


def drawn(size: Size) -> Schedule:
    """A schedule of the seed in the environment, or of a new one."""
    seed = int(os.environ.get("COSMOS3_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nCOSMOS3_TEST_SEED={seed}")
    return draw(seed, size)


def survives(
    graph: RunningGraph, store: Store, schedule: Schedule, headers: dict[str, str], most_unfinished: int
) -> None:
    """Do what is scheduled, under a bound on unfinished jobs, which has to be met.

    Raises:
        AssertionError: a job is lost, told twice or beyond a bound, or a kind of process was not killed.
    """
    assert until(lambda: not store.unfinished(), OVER_WITHIN_S)
    others = {job for (job,) in store.rows("select id from jobs")}
    killer, begun = Killer(graph, schedule.kills), time.monotonic()
    killer.start()
    with store.watched(), ThreadPoolExecutor(len(schedule.clients)) as pool:
        clients = [ChaosClient(graph.url, headers, plans, begun) for plans in schedule.clients]
        outcomes = [outcome for done in [pool.submit(client.run) for client in clients] for outcome in done.result()]
    took = time.monotonic() - begun
    killer.stopping.set()
    killer.join()
    report(outcomes, killer, store, took)
    assert until(lambda: not store.waited_for() and not store.unfinished(), OVER_WITHIN_S)
    check_outcomes(outcomes)
    check_jobs(outcomes, store, others)
    assert store.most <= most_unfinished and any(outcome.refusals for outcome in outcomes)
    assert set(killer.killed) == set(VICTIMS), killer.killed


def report(outcomes: list[Outcome], killer: Killer, store: Store, took: float) -> None:
    endings = Counter((outcome.plan.fate, outcome.ending) for outcome in outcomes)
    refusals = sum(outcome.refusals for outcome in outcomes)
    interruptions = Counter(len(outcome.answer.get("interruptions", ())) for outcome in outcomes)
    print(f"{took:.0f} s, {len(killer.killed)} kills, {refusals} times 429, at most {store.most} unfinished")
    print(
        f"interruptions per job: {dict(sorted(interruptions.items()))}; endings: {dict(sorted(endings.items()))}",
        flush=True,
    )


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


def check_jobs(outcomes: list[Outcome], store: Store, others: set[str]) -> None:
    """The database holds exactly the jobs that were not cancelled, each with one end and its events in order.

    Jobs in `others` are of other tests.
    """
    status = {job: status for job, status in store.rows("select id, status from jobs") if job not in others}
    expected = {outcome.job: outcome.ending for outcome in outcomes if outcome.job and outcome.ending != "cancelled"}
    assert status == expected
    events: dict[str, list[tuple[str, dict[str, Any]]]] = {job: [] for job in status}
    for job, kind, text in store.rows("select job_id, kind, data from events order by job_id, number"):
        if job not in others:
            events[job].append((kind, json.loads(text)))
    for job, told in events.items():
        kinds = [kind for kind, _ in told]
        assert [kind in LAST for kind in kinds] == [False] * (len(kinds) - 1) + [True], (job, kinds)
        assert kinds[-1] == {"completed": "done", "failed": "failed"}[status[job]]
        tries = [data["try"] for kind, data in told if kind == "started"]
        assert tries == sorted(set(tries)), (job, told)
