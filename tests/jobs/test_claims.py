"""Which jobs a replica drives: bounds, leases that lapse or are given up, and a database that is away."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.jobs import claims
from deployments.jobs.job import Job
from tests.jobs.replicas import FailingStore, a_job, first, kill, run, started


def test_only_as_many_run_as_the_bound_allows(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            for name in ("one", "two"):
                await replica.submit(a_job(tmp_path, name))
            await first(replica, "one", "started")
            waiting = await replica.get("two")
            assert waiting is not None and waiting.status == "queued"
            await replica.delete("one")
            await first(replica, "two", "started")

    run(test)


def test_classes_do_not_wait_for_each_other(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            for name, kind in (("video", "standard"), ("waiting", "standard"), ("image", "interactive")):
                await replica.submit(a_job(tmp_path, name, kind))
            await first(replica, "image", "started")
            waiting = await replica.get("waiting")
            assert waiting is not None and waiting.status == "queued"

    run(test)


def test_a_job_of_a_model_that_is_not_served_waits_and_delays_no_other(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            await replica.submit(replace(a_job(tmp_path, "removed"), application="removed"))
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            removed = await replica.get("removed")
            assert removed is not None and removed.status == "queued"
            monkeypatch.setattr(claims, "_applications", lambda: {"nano", "removed"})
            await first(replica, "removed", "started")

    run(test)


def test_a_dead_replicas_jobs_are_taken_over(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=1, max_tries=3) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            await kill(one)
            async with started(tmp_path, lease_s=1, max_tries=3) as two:
                assert (await first(two, "job", "interrupted")).data["attempt"] == 1
                assert (await first(two, "job", "started", after=2)).data == {"try": 2}

    run(test)


def test_a_replica_that_is_stopped_gives_up_a_claim_that_it_is_making(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=600) as one:
            take, claiming, go, taken = one.store.claim, threading.Event(), threading.Event(), threading.Event()

            def late(*arguments: Any, **which: Any) -> Job | None:
                claiming.set()
                go.wait(10)
                job = take(*arguments, **which)
                taken.set()
                return job

            monkeypatch.setattr(one.store, "claim", late)
            await one.submit(a_job(tmp_path, "job"))
            assert await asyncio.to_thread(claiming.wait, 10)
            ending = asyncio.create_task(asyncio.to_thread(one.__del__))
            await asyncio.sleep(0.2)
            go.set()
            await ending
            assert await asyncio.to_thread(taken.wait, 10)
            job = one.store.get("job")
            assert job is not None and (job.owner, job.interruptions) == (None, [])

    run(test)


def test_a_replica_that_is_stopped_gives_up_its_jobs_at_once(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=600) as one, started(tmp_path, lease_s=600) as two:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            (owner,) = (replica for replica in (one, two) if replica._claims.driven)
            for loop in owner._loops:
                loop.cancel()
            owner.__del__()
            again = await first(two, "job", "started", after=1)
            assert again.data == {"try": 1}
            job = await two.get("job")
            assert job is not None and job.interruptions == []
            assert job.owner is not None and not job.owner.startswith(owner._claims._name)

    run(test)


def test_a_lease_that_lapsed_while_the_database_was_away_is_driven_once(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=1) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            failing = FailingStore(replica, monkeypatch, "renew", "claim", "waiting")
            await asyncio.sleep(1.5)
            failing.available = True
            await asyncio.sleep(2)
            job = await replica.get("job")
            # No other replica claimed it, so it goes on.
            assert job is not None and (job.tries, job.interruptions, len(replica._claims.driven)) == (1, [], 1)
            assert list(replica._claims.driven) == [job.owner]

    run(test)


def test_a_replica_that_lost_a_lease_records_nothing_more_and_stops(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=1) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            (late,) = one._claims.driven
            # Like a process that was suspended for longer than its lease: it renews nothing.
            one._loops[1].cancel()
            one._claims._released = True
            async with started(tmp_path, lease_s=1) as two:
                assert (await first(two, "job", "started", after=2)).data == {"try": 2}
                assert one.store.record("job", "step", {}, owner=late) is None
                await one._claims.renew()
                while one._claims.driven:
                    await asyncio.sleep(0.05)
                assert len(two._claims.driven) == 1

    run(test)
