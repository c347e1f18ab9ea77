"""The recipe of this folder's graphs: two replicas of Ingress and of Jobs, one of all else; deaths are noticed soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.graph.starting import tiny_recipe, without_chat

LEASE_S = 4.0
SNAPSHOT_S = 1.0
RETENTION = {"sweep_interval_s": 2.0, "stray_after_s": 60.0}
# Of each service class, by each Jobs replica of the shared graph.
MOST_RUNNING = 4


def paired_recipe(data: Path, *, chat: bool = False, **front: Any) -> dict[str, Any]:
    """The recipe; `front` are further settings of Ingress and Jobs."""
    config = tiny_recipe(data)
    if not chat:
        without_chat(config)
    ends, model, _ = config["applications"]
    ends["args"] |= {"lease_s": LEASE_S, **front}
    for entry in ends["deployments"]:
        entry.pop("autoscaling_config", None)
        entry["num_replicas"] = 2
    model["args"]["generator"] |= {"snapshot_interval_s": SNAPSHOT_S}
    for application in config["applications"]:
        for entry in application["deployments"]:
            # Two of anything else would need more cores than tests may have.
            if entry.pop("autoscaling_config", None):
                entry["num_replicas"] = 1
    return config
