"""Replicas of the Jobs deployment: what they accept, answer and delete."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import ray

from deployments.jobs import deployment
from deployments.jobs.admission import QueueFull
from tests.jobs.replicas import a_job, first, run, started


async def nothing(_: str) -> None:
    """Replaces the broadcast, which needs a running Serve."""


def test_beyond_the_bound_a_job_is_refused_with_its_media(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, admission={"max_unfinished": 2}) as replica:
            for name in ("one", "two"):
                await replica.submit(a_job(tmp_path, name))
            with pytest.raises(QueueFull, match="2 generations are unfinished, of at most 2"):
                await replica.submit(a_job(tmp_path, "three"))
            assert await replica.get("three") is None
            assert {path.name for path in (tmp_path / "media" / "inputs").iterdir()} == {"one.image", "two.image"}
            assert (await replica.stats())["refused"] == 1
            await replica.delete("one")
            await replica.submit(a_job(tmp_path, "four"))
            assert (await replica.stats())["accepted"] == 3

    run(test)


@pytest.mark.parametrize(
    ("nodes", "single_host", "healthy"),
    [((True,), False, True), ((True, True), False, False), ((True, True), True, True), ((True, False), False, True)],
)
def test_a_disk_is_refused_on_several_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: tuple[bool, ...], single_host: bool, healthy: bool
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": alive} for alive in nodes])

    async def test() -> None:
        async with started(tmp_path, single_host=single_host) as replica:
            if healthy:
                await replica.check_health()
            else:
                with pytest.raises(RuntimeError, match="database is and the media are on one machine's disk"):
                    await replica.check_health()

    run(test)


def test_a_job_is_read_watched_and_stopped_through_another_replica(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path) as one, started(tmp_path) as two:
            monkeypatch.setattr(deployment, "_stop_elsewhere", nothing)
            made = await one.submit(a_job(tmp_path, "job"))
            assert (await first(two, "job", "started")).data == {"try": 1}
            assert await two.get("job") == await one.get("job") != None  # noqa: E711
            watching = asyncio.create_task(first(one, "job", "cancelled"))
            await asyncio.sleep(0.1)
            deleted = await two.delete("job")
            assert deleted is not None and deleted.id == made.id
            assert (await watching).number == 0
            # Its driver notices with the next renewal of its lease at the latest.
            while any(replica._claims.driven for replica in (one, two)):
                await asyncio.sleep(0.05)
            assert not [
                path for path in (tmp_path / "media").rglob("*") if path.name.startswith(".") or "job" in path.name
            ]

    run(test)


def test_a_request_that_comes_again_leaves_no_files_of_its_own(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path) as replica:
            for name in ("one", "two"):
                stored = await replica.submit(a_job(tmp_path, name, idempotency_key="k", fingerprint="f"))
                assert stored.id == "one"
            assert [path.name for path in (tmp_path / "media" / "inputs").iterdir()] == ["one.image"]

    run(test)
