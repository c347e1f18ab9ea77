"""Bounds on unfinished work, as settings name them."""

from __future__ import annotations

from typing import Any

from deployments.jobs.admission import Bound, Bounds
from deployments.settings import FrontSettings


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
