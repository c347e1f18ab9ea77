"""A running process holds the libraries that its stage runs, and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deployments.local.launch import RunningGraph

HEAVY = {"torch", "diffusers", "transformers", "vllm"}
LOADED = """
import json, ray

def loaded(replica):
    import sys
    return [name for name in ("torch", "diffusers", "transformers", "vllm") if name in sys.modules]

ray.init(namespace="serve", log_to_driver=False)
found = {}
for entry in ray.util.list_named_actors(all_namespaces=True):
    if entry["name"].startswith("SERVE_REPLICA::"):
        actor = ray.get_actor(entry["name"], namespace=entry["namespace"])
        deployment = entry["name"].split("#")[1]
        found[deployment] = ray.get(actor.__ray_call__.remote(loaded), timeout=60)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded(graph: RunningGraph) -> dict[str, set[str]]:
    """The heavy libraries in the process of each deployment's replica."""
    environment = {**os.environ, **graph.environment, "RAY_ADDRESS": graph.ray_address}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    return {deployment: set(names) for deployment, names in found.items()}


@pytest.mark.parametrize("deployment", ["Ingress", "Jobs", "Model", "Generator"])
def test_who_holds_no_weights_holds_no_model_library(loaded: dict[str, set[str]], deployment: str) -> None:
    assert loaded[deployment] == set()


def test_a_stage_holds_what_it_runs(loaded: dict[str, set[str]]) -> None:
    assert "vllm" in loaded["Reasoner"]
    assert "torch" in loaded["Encoder"] and "vllm" not in loaded["Encoder"]
    assert "vllm" not in loaded["Decoder"]
