"""Tiny checkpoints and the running graph that all tests share, and what holds for every test.

Fixtures import the servers, databases and Ray that they start, so that GPU tests run where none of these is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import torch
from hypothesis import settings

from cosmos3_core.tiny.checkpoint import write_checkpoint

if TYPE_CHECKING:
    from deployments.cli.client import Client
    from deployments.local.launch import RunningGraph

FOLDER = Path(__file__).parent
FOLDERS_WITH_GRAPHS = ("chaos", "graph", "local", "surface")
# Of PyTorch, shared by the processes that run tests side by side.
THREADS = 2

# Drawn examples take as long as the machine makes them, and a failure is the same failure everywhere.
settings.register_profile("cosmos3", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("cosmos3")


def pytest_sessionstart() -> None:
    torch.set_num_threads(THREADS // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(FOLDER).parts[0] in FOLDERS_WITH_GRAPHS:
            item.add_marker("graph")
        if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the Nano family; read it, never write to it."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "nano", "nano")


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the Edge family; read it, never write to it."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "edge", "edge")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The socket's folder of a PostgreSQL server."""
    from tests.postgres import running_postgres

    with running_postgres() as socket:
        yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    from tests.postgres import new_database

    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def graph_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the graph keeps its files."""
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="session")
def graph(graph_data: Path) -> Iterator[RunningGraph]:
    """The whole graph on two logical CPUs, started once: the recipe tiny-cpu, as a user starts it."""
    from tests.graph.starting import shared_recipe, started

    with started(shared_recipe(graph_data), graph_data / "log") as running:
        yield running


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    """A plain HTTP client of the graph."""
    with httpx.Client(base_url=graph.url, timeout=120) as client:
        yield client


@pytest.fixture
def client(graph: RunningGraph) -> Iterator[Client]:
    """Our own client of the graph, which also reads its figures."""
    from deployments.cli.client import Client

    client = Client(graph.url)
    yield client
    client.close()
