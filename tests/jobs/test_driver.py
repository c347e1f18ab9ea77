"""How a job is driven: its tries, its progress, and stages and databases that are not available."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from ray.serve.exceptions import DeploymentUnavailableError

from deployments.jobs import driver
from deployments.jobs.job import DatabaseAway
from tests.jobs.replicas import FailingStore, a_job, first, kill, run, started, stepping, use_flow


def test_a_job_is_queued_until_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        turn = asyncio.Event()
        use_flow(monkeypatch, stepping(turn, []))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            assert (await first(replica, "job", "queued", after=1)).data == {"position": 0}
            turn.set()
            await first(replica, "job", "step")
            job = await replica.get("job")
            assert job is not None and (job.status, job.progress, job.tries) == ("in_progress", 50, 1)

    run(test)


def test_a_job_whose_drivers_die_in_each_try_fails_with_the_reasons(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        settings = {"lease_s": 1, "max_tries": 2}
        async with started(tmp_path, **settings) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            await kill(one)
            async with started(tmp_path, **settings) as two:
                await first(two, "job", "started", after=2)
                await kill(two)
                async with started(tmp_path, **settings) as three:
                    failed = await first(three, "job", "failed")
        message = failed.data["error"]["message"]
        assert message.startswith("gave up after 2 tries") and message.count("the Jobs process that drove it died") == 2

    run(test)


def test_a_stage_that_is_not_available_costs_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    resumed: list[bool] = []

    async def generate(*, resume: bool, **_: Any) -> None:
        resumed.append(resume)
        if len(resumed) < 3:
            raise cast(Any, DeploymentUnavailableError)("Decoder")
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            while len(resumed) < 3:
                await asyncio.sleep(0.01)
            job = await replica.get("job")
            # No process has died.
            assert resumed == [False, True, True] and job is not None and (job.tries, job.interruptions) == (1, [])

    run(test)


def test_a_database_that_is_away_fails_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        runs: list[Any] = []
        turn = asyncio.Event()
        use_flow(monkeypatch, stepping(turn, runs))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            failing = FailingStore(replica, monkeypatch, "record", "renew", "get")
            turn.set()
            await asyncio.sleep(1)
            with pytest.raises(DatabaseAway):
                await replica.get("job")
            with pytest.raises(DatabaseAway):
                await first(replica, "job", "step", after=1)
            failing.available = True
            assert (await first(replica, "job", "step", after=1)).data["index"] == 1
            job = await replica.get("job")
            assert job is not None and (job.status, job.tries, job.interruptions) == ("in_progress", 1, [])
            assert len(runs) == 1

    run(test)
