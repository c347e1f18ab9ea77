"""Processes that die while nothing is generated: they come back by themselves, soon, and nothing of the dead is left.

The other stages that generate, and Ingress, die under a job in test_kills.py. A rank dies here too: while it has no
step to make, only the leader's pings notice it.
"""

from __future__ import annotations

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.killing import Killing
from tests.graph.processes import PlacementGroups

pytestmark = pytest.mark.chaos


# The death of vLLM's engine ends its Reasoner too.
@pytest.mark.parametrize(
    "name", ["Jobs", "Model", pytest.param("Reasoner", marks=pytest.mark.long), "EngineCore", "rank"]
)
def test_a_killed_process_comes_back_by_itself(
    name: str, graph: RunningGraph, http: httpx.Client, groups: PlacementGroups
) -> None:
    killing = Killing(name, graph, http, groups)
    killing()
    killing.recovered()
