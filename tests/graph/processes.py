"""Processes of a graph by the titles that Ray and vLLM give them, and the placement groups of its Ray."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import psutil

from deployments.launch import RunningGraph

RANK = r"ray::Rank\b"
ENGINE = r"VLLM::EngineCore"
_PLACEMENT_GROUPS = """
import json, ray
from ray.util import placement_group_table
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
print(json.dumps([group["state"] for group in placement_group_table().values()]))
"""


def replica(deployment: str, application: str) -> str:
    """The title of a deployment's replicas, as a pattern."""
    return rf"ServeReplica:{application}:{deployment}\b"


def titled(pattern: str, processes: Iterable[psutil.Process]) -> set[int]:
    """Process ids of those whose title has the pattern."""
    return {process.pid for process in processes if re.search(pattern, _title(process))}


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def lives(process: psutil.Process | int) -> bool:
    """Whether a process runs still."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def placement_groups(ray_address: str, environment: dict[str, str]) -> list[str]:
    """States of a Ray cluster's placement groups, those removed left out."""
    environment = {**os.environ, **environment, "RAY_ADDRESS": ray_address}
    command = [sys.executable, "-c", _PLACEMENT_GROUPS]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    states: list[str] = json.loads(answer.stdout.splitlines()[-1])
    return [state for state in states if state != "REMOVED"]


def placement_groups_of(graph: RunningGraph) -> list[str]:
    """States of a graph's placement groups."""
    return placement_groups(graph.ray_address, graph.environment)
