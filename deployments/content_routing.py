"""Which Encoder embeds a medium: the same one each time, so that replicas share their caches without copies."""

from __future__ import annotations

import hashlib
import random

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from deployments.wire.visual_input import VisualInput


def ranked(key: str, replicas: list[str]) -> list[str]:
    """Replicas in a key's own order, by rendezvous hashing: a replica that comes or goes moves only its own keys."""
    return sorted(replicas, key=lambda replica: hashlib.sha256(f"{key}/{replica}".encode()).digest())


class ContentAffinity(RequestRouter):
    """Orders replicas by a medium's key, and at random for other requests; Serve takes the first that accepts."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replicas in order of preference, each in a list of its own; or any two, of which Serve takes one."""
        arguments = pending_request.args if pending_request is not None else ()
        visual = next((argument for argument in arguments if isinstance(argument, VisualInput)), None)
        if visual is None:
            return [random.sample(candidate_replicas, min(2, len(candidate_replicas)))] if candidate_replicas else []
        by_name = {str(replica.replica_id): replica for replica in candidate_replicas}
        return [[by_name[name]] for name in ranked(visual.key, list(by_name))]
