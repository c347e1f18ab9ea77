"""The running graph that the tests of this folder share: the recipe tiny-cpu, as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.client import Client
from deployments.launch import RunningGraph
from tests.graph.starting import started, tiny_recipe


@pytest.fixture(scope="session")
def graph_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the graph keeps its files."""
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="session")
def graph(graph_data: Path) -> Iterator[RunningGraph]:
    """The whole graph on two logical CPUs, started once."""
    with started(tiny_recipe(graph_data), graph_data / "log") as running:
        yield running


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    """A plain HTTP client of the graph."""
    with httpx.Client(base_url=graph.url, timeout=120) as client:
        yield client


@pytest.fixture
def client(graph: RunningGraph) -> Iterator[Client]:
    """Our own client of the graph, which also reads its figures."""
    client = Client(graph.url)
    yield client
    client.close()
