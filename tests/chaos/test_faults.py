"""Processes that die while nothing is generated: they come back by themselves, soon, and nothing of the dead is left.

The other stages that generate, and Ingress, die under a job in test_kills.py. A rank dies here too: while it has no
step to make, only the leader's pings notice it.
"""

from __future__ import annotations

import json

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.killing import Killing
from tests.graph.processes import PlacementGroups

pytestmark = pytest.mark.chaos


# The death of vLLM's engine ends its Reasoner too; see below.
@pytest.mark.parametrize("name", ["Jobs", "Model", pytest.param("Reasoner", marks=pytest.mark.long), "rank"])
def test_a_killed_process_comes_back_by_itself(
    name: str, graph: RunningGraph, http: httpx.Client, groups: PlacementGroups
) -> None:
    killing = Killing(name, graph, http, groups)
    killing()
    killing.recovered()


def test_a_chat_ends_with_its_engine_and_the_next_one_is_answered(
    graph: RunningGraph, http: httpx.Client, groups: PlacementGroups
) -> None:
    killing = Killing("EngineCore", graph, http, groups)
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3000, "ignore_eos": True, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = (line for line in response.iter_lines() if line)
        for _ in range(5):
            next(lines)
        killing()
        told = list(lines)
    assert told[-1] == "data: [DONE]"
    error = json.loads(told[-2].removeprefix("data: "))["error"]
    assert error["code"] in (500, 503) and error["message"] and "Traceback" not in error["message"]
    killing.recovered()
