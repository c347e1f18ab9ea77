"""Admission and drivers of jobs, over a flow that a test holds open."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import ray
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import DeploymentUnavailableError
from sqlalchemy.exc import OperationalError

from cosmos3_core.request import Step
from deployments.jobs import deployment as jobs
from deployments.jobs import driver, watching
from deployments.jobs.admission import QueueFull
from deployments.jobs.deployment import Jobs
from deployments.jobs.job import DatabaseAway, Job, JobEvent
from deployments.settings import FrontSettings
from deployments.wire.handles import StageHandles
from deployments.wire.media_store import MediaStore, local_path
from tests.actors import ActorHandle


@asynccontextmanager
async def started(folder: Path, **settings: Any) -> AsyncIterator[Jobs]:
    replica = Jobs.__new__(Jobs)
    await Jobs.__init__(replica, FrontSettings(data=folder, **settings))
    try:
        yield replica
    finally:
        await kill(replica)


async def kill(replica: Jobs) -> None:
    """What is left of a replica that dies: nothing, and its leases."""
    tasks = [*replica._loops, *(driven.task for driven in replica._driven.values())]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    replica._loops.clear()
    replica._database.close()
    if replica._lock is not None:
        replica._lock.release()


@pytest.fixture(autouse=True)
def one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_graph", lambda: "this graph")
    monkeypatch.setattr(jobs, "_applications", lambda: {"nano"})


async def nothing(_: str) -> None:
    """In place of the broadcast, for which Serve would have to run."""


def a_job(folder: Path, name: str, service_class: str = "standard", **given: Any) -> Job:
    media = MediaStore(f"file://{folder / 'media'}")
    image = media.put(f"inputs/{name}.image", b"pixels")
    output = {"target": media.uri(f"outputs/{name}.mp4"), "format": "mp4"}
    request = {"fields": {}, "media": {"image": image}, "output": output}
    return Job(name, "video", "m", "nano", "decoder", True, request, {}, service_class=service_class, **given)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow whose generations run until they are cancelled."""

    async def generate(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)


def use_flow(monkeypatch: pytest.MonkeyPatch, generate: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Have drivers run this in place of the stages."""
    monkeypatch.setattr(driver, "generate", generate)
    monkeypatch.setattr(StageHandles, "of", lambda *_: None)


def stepping(turn: asyncio.Event, begun: list[Any]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A flow that makes the first of two steps when it is its turn, and then none; `begun` counts its runs."""

    async def generate(_stages: Any, _call: Any, _output: Any, report: Any, **_: Any) -> None:
        begun.append(report)
        await turn.wait()
        await report(Step(1, 2, 0.1, 0.1))
        await asyncio.Event().wait()

    return generate


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


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


def test_another_graph_keeps_out_of_the_folder(tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOCK_PATIENCE_S", 0.1)

    async def test() -> None:
        async with started(tmp_path), started(tmp_path):
            monkeypatch.setattr(jobs, "_graph", lambda: "another graph")
            with pytest.raises(RuntimeError, match="belongs to another graph"):
                async with started(tmp_path):
                    pass

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


async def first(replica: Jobs, job_id: str, kind: str, **options: Any) -> JobEvent:
    async for event in replica.watch(job_id, **options):
        if event.kind == kind:
            return event
    raise AssertionError(f"no {kind} of {job_id}")


def test_a_job_is_read_watched_and_stopped_through_another_replica(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path) as one, started(tmp_path) as two:
            monkeypatch.setattr(jobs, "_stop_elsewhere", nothing)
            made = await one.submit(a_job(tmp_path, "job"))
            assert (await first(two, "job", "started")).data == {"try": 1}
            assert await two.get("job") == await one.get("job") != None  # noqa: E711
            watching = asyncio.create_task(first(one, "job", "cancelled"))
            await asyncio.sleep(0.1)
            deleted = await two.delete("job")
            assert deleted is not None and deleted.id == made.id
            assert (await watching).number == 0
            # Its driver hears of it with the next renewal at the latest.
            while any(replica._driven for replica in (one, two)):
                await asyncio.sleep(0.05)
            assert not [
                path for path in (tmp_path / "media").rglob("*") if path.name.startswith(".") or "job" in path.name
            ]

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


def test_a_job_whose_drivers_keep_dying_is_given_up_with_the_reasons(tmp_path: Path, endless: None) -> None:
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


def test_a_claim_under_way_is_left_too_when_a_replica_ends_in_peace(
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
            assert job is not None and (job.owner, job.deaths) == (None, [])

    run(test)


def test_a_replica_that_ends_in_peace_leaves_its_jobs_at_once(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=600) as one, started(tmp_path, lease_s=600) as two:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            (owner,) = (replica for replica in (one, two) if replica._driven)
            for loop in owner._loops:
                loop.cancel()
            owner.__del__()
            again = await first(two, "job", "started", after=1)
            assert again.data == {"try": 1}
            job = await two.get("job")
            assert (
                job is not None and job.deaths == [] and job.owner is not None and not job.owner.startswith(owner._name)
            )

    run(test)


def test_one_that_nobody_waits_for_any_more_is_swept_with_its_files(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, watching):
        monkeypatch.setattr(module, "ATTENDED_S", 2.0)
    monkeypatch.setattr(watching, "ATTEND_PERIOD_S", 0.2)

    async def test() -> None:
        async with started(tmp_path, retention={"sweep_interval_s": 0.2}) as replica:
            await replica.submit(replace(a_job(tmp_path, "waited"), detached=False))
            stream = replica.watch("waited", attend=True)
            while (await anext(stream)).kind != "started":
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(4):
                    async for event in stream:
                        assert event.kind == "queued", "it expired while it was waited for"
            await stream.aclose()
            while await replica.get("waited") is not None:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.2)
            assert not list((tmp_path / "media" / "inputs").iterdir()) and not replica._driven
            assert (await replica.stats())["expired"] == 1

    run(test)


def test_a_request_that_comes_again_leaves_no_files_of_its_own(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path) as replica:
            for name in ("one", "two"):
                stored = await replica.submit(a_job(tmp_path, name, idempotency_key="k", fingerprint="f"))
                assert stored.id == "one"
            assert [path.name for path in (tmp_path / "media" / "inputs").iterdir()] == ["one.image"]

    run(test)


def test_who_waits_hears_how_many_go_first(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            for name in ("one", "two", "three"):
                await replica.submit(a_job(tmp_path, name))
            await first(replica, "one", "started")
            # One that is driven and has made no step yet is among them.
            assert (await first(replica, "three", "queued")).data == {"position": 2}
            await replica.delete("two")
            assert (await first(replica, "three", "queued")).data == {"position": 1}

    run(test)


def test_a_job_is_queued_until_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        its_turn = asyncio.Event()
        use_flow(monkeypatch, stepping(its_turn, []))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            assert (await first(replica, "job", "queued", after=1)).data == {"position": 0}
            its_turn.set()
            await first(replica, "job", "step")
            job = await replica.get("job")
            assert job is not None and (job.status, job.progress, job.tries) == ("in_progress", 50, 1)

    run(test)


def test_one_whose_listener_has_died_is_swept_though_its_stream_is_open(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, watching):
        monkeypatch.setattr(module, "ATTENDED_S", 3.0)
    monkeypatch.setattr(watching, "ATTEND_PERIOD_S", 0.1)
    monkeypatch.setattr(jobs, "LISTENERS_PERIOD_S", 0.1)

    async def test() -> None:
        async with started(tmp_path, retention={"sweep_interval_s": 0.2}) as replica:
            await replica.submit(replace(a_job(tmp_path, "waited"), detached=False))
            listener = ActorHandle()
            told = []

            async def listen() -> None:
                async for event in replica.watch("waited", attend=True, listener=listener):
                    told.append(event.kind)

            listening = asyncio.create_task(listen())
            await asyncio.sleep(4.5)
            assert not listening.done() and await replica.get("waited") is not None
            listener.error = ActorDiedError()
            await listening
            while await replica.get("waited") is not None:
                await asyncio.sleep(0.1)
            assert "started" in told and "cancelled" not in told

    run(test)


def test_a_stage_that_does_not_come_up_costs_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    resumed: list[bool] = []

    async def generate(*_: Any, resume: bool, **__: Any) -> None:
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
            # Nothing has died.
            assert resumed == [False, True, True] and job is not None and (job.tries, job.deaths) == (1, [])

    run(test)


def test_a_crowd_of_readers_holds_up_no_lease(tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=3) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            async with started(tmp_path, lease_s=3):
                go = threading.Event()
                monkeypatch.setattr(one.store, "last_event", lambda *_: go.wait(20))
                reading = [asyncio.create_task(one.last_event("job")) for _ in range(30)]
                await asyncio.sleep(6)
                go.set()
                await asyncio.gather(*reading)
                job = await one.get("job")
                assert job is not None and (job.tries, job.deaths) == (1, [])

    run(test)


# A database that is away


class Trouble:
    """Makes a store's methods fail until it is over."""

    def __init__(self, replica: Jobs, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.over = False
        for name in names:
            monkeypatch.setattr(replica.store, name, self._failing(getattr(replica.store, name)))

    def _failing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.over:
                return method(*arguments, **named)
            raise OperationalError("select", {}, Exception("away"))

        return call


def test_a_database_that_is_away_fails_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        begun: list[Any] = []
        going_on = asyncio.Event()
        use_flow(monkeypatch, stepping(going_on, begun))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            trouble = Trouble(replica, monkeypatch, "record", "renew", "get")
            going_on.set()
            await asyncio.sleep(1)
            with pytest.raises(DatabaseAway):
                await replica.get("job")
            with pytest.raises(DatabaseAway):
                await first(replica, "job", "step", after=1)
            trouble.over = True
            assert (await first(replica, "job", "step", after=1)).data["index"] == 1
            job = await replica.get("job")
            assert job is not None and (job.status, job.tries, job.deaths) == ("in_progress", 1, [])
            assert len(begun) == 1

    run(test)


def test_a_lease_that_lapsed_while_the_database_was_away_is_driven_once(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=1) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            trouble = Trouble(replica, monkeypatch, "renew", "claim", "waiting")
            await asyncio.sleep(1.5)
            trouble.over = True
            await asyncio.sleep(2)
            job = await replica.get("job")
            # Nobody else was there, so what was driven goes on.
            assert job is not None and (job.tries, job.deaths, len(replica._driven)) == (1, [], 1)
            assert list(replica._driven) == [job.owner]

    run(test)


def test_whoever_lost_its_lease_records_nothing_more_and_stops(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, lease_s=1) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            (late,) = one._driven
            # As one that was stopped for longer than its lease: it renews nothing.
            one._loops[1].cancel()
            one._released = True
            async with started(tmp_path, lease_s=1) as two:
                assert (await first(two, "job", "started", after=2)).data == {"try": 2}
                assert one.store.record("job", "step", {}, owner=late) is None
                await one._renew()
                while one._driven:
                    await asyncio.sleep(0.05)
                assert len(two._driven) == 1

    run(test)


def test_a_job_of_a_model_that_is_not_served_waits_and_holds_nobody_up(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            await replica.submit(replace(a_job(tmp_path, "removed"), application="removed"))
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            removed = await replica.get("removed")
            assert removed is not None and removed.status == "queued"
            monkeypatch.setattr(jobs, "_applications", lambda: {"nano", "removed"})
            await first(replica, "removed", "started")

    run(test)


# The sweep


def test_the_sweep_removes_strays_and_nothing_else(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    ids = {name: f"video_gen_{character * 32}" for name, character in [("over", "a"), ("runs", "b"), ("gone", "c")]}
    names = [f"inputs/{job}.image" for job in ids.values()]
    names += [f"snapshots/{job}.safetensors" for job in ids.values()]
    names += [f"outputs/{job}.{attempt}.mp4" for job in ids.values() for attempt in ("1", "2")]
    names += [f"inputs/.{ids['runs']}.image.123.partial", "outputs/mine.mp4", "other/video.mp4"]
    for name in names:
        path = Path(local_path(media.put(name, b"x")) or "")
        os.utime(path, (time.time() - 120,) * 2)
    fresh = media.put(f"inputs/{'video_gen_' + 'd' * 32}.image", b"x")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60, "sweep_interval_s": 600}) as replica:
            for loop in replica._loops:
                loop.cancel()
            for name in ("over", "runs"):
                replica.store.create(a_job(tmp_path, ids[name]))
            result = {"uri": media.uri(f"outputs/{ids['over']}.2.mp4")}
            replica.store.record(ids["over"], "done", {}, status="completed", result=result)
            before = {path.relative_to(tmp_path / "media").as_posix() for path in (tmp_path / "media").rglob("*.*")}
            replica._sweep._strays_at = -math.inf
            await replica._sweep.run()
            after = {path.relative_to(tmp_path / "media").as_posix() for path in (tmp_path / "media").rglob("*.*")}
        assert before - after == {
            f"inputs/{ids['gone']}.image",
            f"snapshots/{ids['gone']}.safetensors",
            f"snapshots/{ids['over']}.safetensors",
            f"outputs/{ids['gone']}.1.mp4",
            f"outputs/{ids['gone']}.2.mp4",
            f"outputs/{ids['over']}.1.mp4",
            f"inputs/.{ids['runs']}.image.123.partial",
        }
        assert Path(local_path(fresh) or "").exists()

    run(test)


def test_a_snapshot_that_comes_after_the_end_of_its_job_is_swept_at_once(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    gone, over, runs, begun = (f"video_gen_{character * 32}" for character in "abcd")

    async def test() -> None:
        async with started(tmp_path) as replica:
            for loop in replica._loops:
                loop.cancel()
            await replica._sweep.run()
            for job in (over, runs):
                replica.store.create(a_job(tmp_path, job))
            replica.store.record(over, "failed", {}, status="failed", error={})
            for job in (gone, over, runs):
                media.put(f"snapshots/{job}.safetensors", b"state")
            media.put(f"snapshots/.{begun}.safetensors.123.partial", b"sta")
            before = {file.name for file in media.files("snapshots")}
            await replica._sweep.run()
            after = {file.name for file in media.files("snapshots")}
        assert before - after == {f"snapshots/{gone}.safetensors", f"snapshots/{over}.safetensors"}

    run(test)


def test_a_result_is_kept_though_its_folder_was_called_otherwise(tmp_path: Path) -> None:
    old, new = MediaStore(f"file://{tmp_path / 'old'}"), tmp_path / "media"
    job = f"video_gen_{'a' * 32}"
    kept, stray = (Path(local_path(old.put(f"outputs/{job}.{n}.mp4", b"x")) or "") for n in (1, 2))
    for path in (kept, stray):
        os.utime(path, (time.time() - 120,) * 2)
    new.symlink_to(tmp_path / "old")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60, "sweep_interval_s": 600}) as replica:
            for loop in replica._loops:
                loop.cancel()
            replica.store.create(a_job(tmp_path, job))
            result = {"uri": old.uri(f"outputs/{kept.name}")}
            replica.store.record(job, "done", {}, status="completed", result=result)
            replica._sweep._strays_at = -math.inf
            await replica._sweep.run()
            assert kept.exists() and not stray.exists()

    run(test)


def test_another_databases_media_are_not_swept(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    path = Path(local_path(media.put(f"outputs/video_gen_{'a' * 32}.mp4", b"x")) or "")
    os.utime(path, (time.time() - 120,) * 2)
    media.put("database", b"another one")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60}) as replica:
            await replica._sweep.run()
            assert path.exists() and (await replica.stats())["strays"] == 0

    run(test)
