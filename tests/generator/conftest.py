"""The ranks that every test of a leader has instead of real ones."""

from __future__ import annotations

import os

import pytest

from deployments.generator import leader
from deployments.generator.gang import Gang
from tests.generator.fake_gang import Ended, Ranks


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Ranks:
    ranks = Ranks()
    monkeypatch.setattr(Gang, "create", lambda _: ranks)
    monkeypatch.setattr(leader, "WATCH_PERIOD_S", 0.02)

    def end(status: int) -> None:
        ranks.log.append("end")
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    return ranks
