"""Stores, and the jobs that tests keep in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from deployments.jobs.database.connection import Database
from deployments.jobs.database.store import Store
from deployments.jobs.job import Job, JobEvent


@contextmanager
def opened(url: str) -> Iterator[Store]:
    database = Database(url)
    try:
        yield Store(database)
    finally:
        database.close()


def a_job(job_id: str = "video_gen_1", **fields: Any) -> Job:
    given: dict[str, Any] = {
        "kind": "video",
        "model": "cosmos3-nano",
        "application": "nano",
        "decoder": "decoder",
        "detached": True,
        "request": {"fields": {"prompt": "a robot"}, "media": {}, "output": {"target": "file:///out"}},
        "shown": {"size": "1280x720"},
    }
    return Job(**{"id": job_id} | given | fields)


def claim(store: Store, owner: str, lease_s: float = 60, **kind: Any) -> Job | None:
    return store.claim(owner, lease_s, **{"application": "nano", "service_class": "standard"} | kind)


def numbers(events: list[JobEvent]) -> list[int]:
    return [event.number for event in events]


def together(*calls: Callable[[], object]) -> list[object]:
    """Results of calls that start at the same moment, each in a thread; errors are raised here."""
    gate = threading.Barrier(len(calls))

    def waiting(call: Callable[[], object]) -> object:
        gate.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(waiting, call) for call in calls]]
