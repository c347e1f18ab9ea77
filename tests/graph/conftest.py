"""The graph that slow tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments.local.launch import RunningGraph
from tests.graph.starting import started, tiny_recipe

QUICK = {"upscale_delay_s": 1, "downscale_delay_s": 4, "look_back_period_s": 4}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow tests of modules that use the shared graph last: it runs no longer beside others than it must."""
    users = {item.path for item in items if "roomy" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in users and item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """The recipe tiny-cpu with room to grow: eight logical CPUs, however many the machine has.

    Its autoscaling decides within seconds; targets and bounds are the recipe's.
    """
    data = tmp_path_factory.mktemp("roomy")
    config = tiny_recipe(data)
    for application in config["applications"]:
        for deployment in application["deployments"]:
            if "autoscaling_config" in deployment:
                deployment["autoscaling_config"] |= QUICK
    with started(config, data / "log", cpus=8) as running:
        yield running
