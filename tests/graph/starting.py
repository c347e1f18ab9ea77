"""Graphs that tests start: the tiny recipe, as it is or changed, ready when the block begins and gone when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.cli.client import Client
from deployments.local.launch import Launch, RunningGraph, running_graph
from deployments.local.recipes import find_recipe, load_recipe, override
from tests.graph.templates import MAX_TOKENS, write_templates

START_TIMEOUT_S = 300
OBJECT_STORE = 400 * 1024**2
# More than the longest synchronous generation of a test takes on a busy machine, and little enough to wait for.
SYNC_TIMEOUT_S = 25.0
# 720p with the usual 189 frames is beyond it, so a job that a stage refuses costs next to nothing.
RESIDENT_BYTES = 200_000_000
TEMPLATES = "templates"
"""The folder of the shared graph's templates, below its data."""
READABLE = "readable"
"""The folder of the shared graph's data whose files requests may name."""


def tiny_recipe(data: Path) -> dict[str, Any]:
    """The recipe tiny-cpu on a free port, keeping its files in `data`, with previews."""
    config = override(load_recipe(find_recipe("tiny-cpu")), port=0, data=data)
    config["applications"][1]["args"]["previews"] = True
    return config


def shared_recipe(data: Path) -> dict[str, Any]:
    """The recipe of the graph that most tests share, with limits that a test can reach and short prompts."""
    config = tiny_recipe(data)
    front, model = (application["args"] for application in config["applications"][:2])
    front["sync_timeout_s"] = SYNC_TIMEOUT_S
    (data / READABLE).mkdir()
    front["fetch"] = {"roots": [str(data / READABLE)]}
    model["generator"]["resident_bytes"] = RESIDENT_BYTES
    model["upsampling"] = {"templates": str(write_templates(data / TEMPLATES)), "max_tokens": MAX_TOKENS}
    return config


def without_chat(config: dict[str, Any]) -> dict[str, Any]:
    """The recipe without its Reasoner, which takes longest to start."""
    model = config["applications"][1]
    model["args"]["reasoner"] = None
    model["deployments"] = [entry for entry in model["deployments"] if entry["name"] != "Reasoner"]
    return config


@contextmanager
def started(config: dict[str, Any], log: Path, cpus: int = 2) -> Iterator[RunningGraph]:
    """Start a graph and wait until it is healthy."""
    with running_graph(Launch(config, logical_cpus=cpus, object_store_bytes=OBJECT_STORE, log=log)) as graph:
        graph.wait_ready(START_TIMEOUT_S)
        client = Client(graph.url)
        try:
            client.wait_healthy(START_TIMEOUT_S)
        finally:
            client.close()
        yield graph
