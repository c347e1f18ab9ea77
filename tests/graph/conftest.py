"""The graph that slow tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.local.launch import RunningGraph
from tests.graph.starting import started, tiny_recipe, without_chat

QUICK = {"upscale_delay_s": 1, "downscale_delay_s": 4, "look_back_period_s": 4}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow tests of modules that use the shared graph last: it runs no longer beside others than it must."""
    users = {item.path for item in items if "roomy" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in users and item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """The recipe tiny-cpu with room to grow and without chat; see `_roomy`."""
    data = tmp_path_factory.mktemp("roomy")
    with _roomy(without_chat(tiny_recipe(data)), data / "log") as running:
        yield running


@pytest.fixture(scope="session")
def roomy_with_chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """The recipe tiny-cpu with room to grow; see `_roomy`."""
    data = tmp_path_factory.mktemp("chatting")
    with _roomy(tiny_recipe(data), data / "log") as running:
        yield running


@contextmanager
def _roomy(config: dict[str, Any], log: Path) -> Iterator[RunningGraph]:
    """A graph on eight logical CPUs, however many the machine has.

    Its autoscaling decides within seconds; targets and bounds are the recipe's.
    """
    for application in config["applications"]:
        for deployment in application["deployments"]:
            if "autoscaling_config" in deployment:
                deployment["autoscaling_config"] |= QUICK
    with started(config, log, cpus=8) as running:
        yield running
