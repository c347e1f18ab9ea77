"""The running graph that the tests of this folder share: the recipe tiny-cpu, as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deployments.client import Client
from deployments.launch import Launch, RunningGraph, running_graph
from deployments.recipes import find_recipe, load_recipe, override

START_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """The whole graph on two logical CPUs, started once."""
    data = tmp_path_factory.mktemp("graph")
    config = override(load_recipe(find_recipe("tiny-cpu")), port=0, data=data)
    with running_graph(Launch(config, logical_cpus=2, object_store_bytes=400 * 1024**2, log=data / "log")) as started:
        started.wait_ready(START_TIMEOUT_S)
        client = Client(started.url)
        client.wait_healthy(START_TIMEOUT_S)
        client.close()
        yield started


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
