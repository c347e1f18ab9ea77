"""Bounds on unfinished work: as settings name them, and as the store keeps to them."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.jobs.admission import Bound, Bounds, QueueFull
from deployments.jobs.database.store import Store
from deployments.settings.front import FrontSettings
from tests.jobs.stores import a_job, opened, together


def bounds(**settings: Any) -> Bounds:
    return Bounds.of(FrontSettings.model_validate(settings))


def test_the_bounds_of_keys() -> None:
    keys: list[dict[str, Any]] = [
        {"name": "a", "environment": "A"},
        {"name": "b", "environment": "B", "max_unfinished": 7},
    ]
    total = {"max_unfinished": 100, "max_gpu_seconds": 50.0}
    alone = bounds(admission=total)
    assert (alone.total, alone.default) == (Bound(100, 50.0), Bound())
    shared = bounds(admission=total, keys=keys)
    assert (shared.default, shared.keys) == (Bound(50, 25.0), {"b": Bound(7, None)})
    named = bounds(admission=total, keys=keys, each_key={"max_unfinished": 90})
    assert named.default == Bound(90, None)


def test_no_more_is_admitted_than_the_bound_on_jobs(store: Store) -> None:
    bounds = Bounds(Bound(jobs=2))
    for name in "ab":
        store.create(a_job(name), bounds)
    with pytest.raises(QueueFull, match="2 generations are unfinished, of at most 2"):
        store.create(a_job("c"), bounds)
    assert store.get("c") is None
    store.record("a", "done", {}, status="completed")
    assert store.create(a_job("c"), bounds).id == "c"
    # What was accepted is not refused when it is asked for again.
    assert store.create(a_job("b"), bounds).id == "b"


def test_no_more_is_admitted_than_the_bound_on_gpu_seconds(store: Store) -> None:
    bounds = Bounds(Bound(gpu_seconds=100.0))
    store.create(a_job("large", gpu_seconds=500.0), bounds)
    with pytest.raises(
        QueueFull, match="500 GPU-seconds are unfinished, of at most 100; this request would add 10"
    ) as e:
        store.create(a_job("small", gpu_seconds=10.0), bounds)
    assert e.value.retry_after_s == 120
    store.record("large", "failed", {}, status="failed")
    for name in ("b", "c"):
        store.create(a_job(name, gpu_seconds=45.0), bounds)
    with pytest.raises(QueueFull) as caught:
        store.create(a_job("d", gpu_seconds=20.0), bounds)
    assert caught.value.retry_after_s == 10
    assert store.usage().gpu_seconds == 90.0


def test_a_keys_own_bound(store: Store) -> None:
    bounds = Bounds(Bound(), default=Bound(jobs=1), keys={"alice": Bound(jobs=2)})
    for name in "ab":
        store.create(a_job(name, api_key="alice"), bounds)
    with pytest.raises(QueueFull, match="for this API key"):
        store.create(a_job("c", api_key="alice"), bounds)
    store.create(a_job("d", api_key="bob"), bounds)
    with pytest.raises(QueueFull):
        store.create(a_job("e", api_key="bob"), bounds)
    assert (store.usage("alice").jobs, store.usage("bob").jobs, store.usage().jobs) == (2, 1, 3)


def test_the_bound_holds_when_many_come_at_once(store: Store, database_url: str) -> None:
    bounds = Bounds(Bound(jobs=5))

    def accept(store: Store, name: str) -> bool:
        try:
            store.create(a_job(name), bounds)
        except QueueFull:
            return False
        return True

    with opened(database_url) as other:
        calls = [lambda s=s, n=n: accept(s, f"{n}-{id(s)}") for n in range(6) for s in (store, other)]
        assert sum(map(bool, together(*calls))) == 5
    assert store.usage().jobs == 5
