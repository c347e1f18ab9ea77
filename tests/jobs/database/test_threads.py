"""The threads that call the database."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.jobs.replicas import a_job, first, run, started


def test_many_readers_delay_no_lease(tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
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
                assert job is not None and (job.tries, job.interruptions) == (1, [])

    run(test)
