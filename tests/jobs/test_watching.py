"""Watching jobs: the events that are streamed, and jobs that nobody watches any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError

from deployments.jobs import deployment, watching
from tests.actors import ActorHandle
from tests.jobs.replicas import a_job, first, run, started


def test_a_watcher_hears_how_many_jobs_go_first(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            for name in ("one", "two", "three"):
                await replica.submit(a_job(tmp_path, name))
            await first(replica, "one", "started")
            # A job that is driven and has made no step yet counts.
            assert (await first(replica, "three", "queued")).data == {"position": 2}
            await replica.delete("two")
            assert (await first(replica, "three", "queued")).data == {"position": 1}

    run(test)


def test_a_job_that_nobody_waits_for_any_more_is_swept_with_its_files(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deployment, watching):
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
            assert not list((tmp_path / "media" / "inputs").iterdir()) and not replica._claims.driven
            assert (await replica.stats())["expired"] == 1

    run(test)


def test_a_job_whose_listener_has_died_is_swept_although_its_stream_is_open(
    tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deployment, watching):
        monkeypatch.setattr(module, "ATTENDED_S", 3.0)
    monkeypatch.setattr(watching, "ATTEND_PERIOD_S", 0.1)
    monkeypatch.setattr(deployment, "LISTENERS_PERIOD_S", 0.1)

    async def test() -> None:
        async with started(tmp_path, retention={"sweep_interval_s": 0.2}) as replica:
            await replica.submit(replace(a_job(tmp_path, "waited"), detached=False))
            listener = ActorHandle()
            heard = []

            async def listen() -> None:
                async for event in replica.watch("waited", attend=True, listener=listener):
                    heard.append(event.kind)

            listening = asyncio.create_task(listen())
            await asyncio.sleep(4.5)
            assert not listening.done() and await replica.get("waited") is not None
            listener.error = ActorDiedError()
            await listening
            while await replica.get("waited") is not None:
                await asyncio.sleep(0.1)
            assert "started" in heard and "cancelled" not in heard

    run(test)
