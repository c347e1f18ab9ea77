"""Stores, and replicas of Jobs without a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.jobs import claims, deployment
from deployments.jobs.database.store import Store
from tests.jobs.replicas import use_flow
from tests.jobs.stores import opened


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store on an empty database, of each kind in turn."""
    with opened(database_url) as found:
        yield found


@pytest.fixture(autouse=True)
def one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """All replicas belong to one graph, which serves one model."""
    monkeypatch.setattr(deployment, "_graph", lambda: "this graph")
    monkeypatch.setattr(claims, "_applications", lambda: {"nano"})


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow whose generations run until they are cancelled."""

    async def generate(**_: Any) -> None:
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)
