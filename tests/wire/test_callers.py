"""Which actors have died, and what is no sign of a death."""

from __future__ import annotations

import asyncio

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from deployments.wire import callers
from deployments.wire.callers import dead_among, this_actor
from tests.actors import ActorHandle


def test_only_an_actor_that_has_died_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "ANSWER_TIMEOUT_S", 0.05)
    dead = ActorHandle(ActorDiedError())
    others = [ActorHandle(), ActorHandle(silent=True), ActorHandle(ActorUnavailableError("a while", b"x" * 16)), None]
    assert asyncio.run(dead_among([*others, dead, dead])) == {dead}
    assert asyncio.run(dead_among(others)) == set()


def test_a_process_without_ray_is_no_actor() -> None:
    assert this_actor() is None
