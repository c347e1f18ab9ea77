"""Processes that die while nothing is generated: they come back by themselves, soon, and nothing of the dead is left.

The stages that generate, and Ingress, die under a job in test_kills.py.
"""

from __future__ import annotations

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.killing import Killing
from tests.graph.processes import PlacementGroups

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("name", ["Jobs", "Model", "Reasoner", "EngineCore"])
def test_a_killed_process_comes_back_by_itself(
    name: str, graph: RunningGraph, http: httpx.Client, groups: PlacementGroups
) -> None:
    killing = Killing(name, graph, http, groups)
    killing()
    killing.recovered()
