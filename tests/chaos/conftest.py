"""The graph that the tests of this folder share, and the order in which they use it, from harmless to fatal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.keys import authorization, key_settings
from tests.chaos.killing import REPLACED_WITHIN_S, complete
from tests.chaos.paired import MOST_RUNNING, RETENTION, paired_recipe
from tests.graph.processes import PlacementGroups, placement_groups, until
from tests.graph.starting import started

FOLDER = Path(__file__).parent
# Modules that kill more come later. The first and the last start their own graphs, when the shared one does not run.
ORDER = ("test_long_chaos", "test_keys", "test_memory_attack", "test_faults", "test_chaos", "test_kills", "test_gang")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder last, in their order."""
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.parent == FOLDER else -1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared graph keeps its files."""
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="session")
def front() -> dict[str, Any]:
    """The settings of Ingress and Jobs."""
    return {"keys": key_settings(), "max_running": MOST_RUNNING, "retention": RETENTION}


@pytest.fixture(scope="session")
def graph(data: Path, front: dict[str, Any]) -> Iterator[RunningGraph]:
    """The shared graph."""
    with started(paired_recipe(data, chat=True, **front), data / "log") as running:
        yield running


@pytest.fixture(scope="session")
def groups(graph: RunningGraph) -> Iterator[PlacementGroups]:
    """The placement groups of the shared graph."""
    with placement_groups(graph.ray_address, graph.environment) as groups:
        yield groups


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    """A client of the shared graph with all of its processes in place."""
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    with httpx.Client(base_url=graph.url, timeout=120, headers=authorization("carol")) as client:
        yield client
