"""The graph of this folder's tests: everything that generates, two Ingress and two Jobs replicas, quick to notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.graph.starting import tiny_recipe

LEASE_S = 4.0
SNAPSHOT_S = 1.0


def paired_recipe(data: Path, **front: Any) -> dict[str, Any]:
    """The recipe; `front` are further settings of Ingress and Jobs."""
    config = tiny_recipe(data)
    ends, model, _ = config["applications"]
    ends["args"] |= {"lease_s": LEASE_S, **front}
    for entry in ends["deployments"]:
        entry.pop("autoscaling_config", None)
        entry["num_replicas"] = 2
    model["args"]["reasoner"] = None
    model["args"]["generator"] |= {"snapshot_interval_s": SNAPSHOT_S}
    model["deployments"] = [entry for entry in model["deployments"] if entry["name"] != "Reasoner"]
    for application in config["applications"]:
        for entry in application["deployments"]:
            # Two of anything else would need more cores than tests may have.
            if entry.pop("autoscaling_config", None):
                entry["num_replicas"] = 1
    return config
