"""Admission and drivers of jobs, over a flow that a test holds open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from deployments import jobs
from deployments.jobs import Jobs, QueueFull
from deployments.media_store import MediaStore
from deployments.settings import FrontSettings
from deployments.stages import Stages
from deployments.store import Job


@asynccontextmanager
async def started(folder: Path, **settings: Any) -> AsyncIterator[Jobs]:
    replica = Jobs.__new__(Jobs)
    await Jobs.__init__(replica, FrontSettings(data=folder, **settings))
    try:
        yield replica
    finally:
        for driver in list(replica._drivers.values()):
            driver.cancel()
            await asyncio.wait([driver])
        replica.store.close()
        assert replica._lock is not None
        replica._lock.release()


def a_job(folder: Path, name: str, service_class: str = "standard") -> Job:
    media = MediaStore(f"file://{folder / 'media'}")
    image = media.put(f"inputs/{name}.image", b"pixels")
    output = {"target": media.uri(f"outputs/{name}.mp4"), "format": "mp4"}
    request = {"fields": {}, "media": {"image": image}, "output": output, "service_class": service_class}
    return Job(name, "video", "m", "nano", "decoder", detached=True, request=request, shown={})


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow whose generations run until they are cancelled."""

    async def generate(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(jobs, "generate", generate)
    monkeypatch.setattr(Stages, "of", lambda *_: None)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_beyond_the_bound_a_job_is_refused_with_its_media(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1, max_queued=1) as replica:
            for name in ("one", "two"):
                await replica.submit(a_job(tmp_path, name))
            with pytest.raises(QueueFull, match="2 generations are running or waiting"):
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
            async for event in replica.watch("one"):
                assert event.kind == "started"
                break
            waiting = await replica.get("two")
            assert waiting is not None and waiting.status == "queued"
            await replica.delete("one")
            async for event in replica.watch("two"):
                assert event.kind == "started"
                break

    run(test)


def test_classes_do_not_wait_for_each_other(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        async with started(tmp_path, max_running=1) as replica:
            for name, kind in (("video", "standard"), ("waiting", "standard"), ("image", "interactive")):
                await replica.submit(a_job(tmp_path, name, kind))
            async for event in replica.watch("image"):
                assert event.kind == "started"
                break
            waiting = await replica.get("waiting")
            assert waiting is not None and waiting.status == "queued"

    run(test)


def test_another_graph_keeps_out_of_the_folder(tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CLAIM_TIMEOUT_S", 0.1)

    async def test() -> None:
        async with started(tmp_path):
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
