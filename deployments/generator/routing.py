"""Which gang gets a request: the one with the least queued work, counted in seconds and not in requests.

An image and a 720p video are one request each, and their work differs by a factor of a hundred.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.wire.calls import DenoiseCall

SEEN_AFTER_S = 2.0
"""A request sent longer ago than this is included in the leaders' own figures."""
UNKNOWN_FLOPS_PER_SECOND = 1e12


class SentWork:
    """Seconds of work sent to each gang that the gang's own figures may not include yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: dict[str, tuple[Any, float, float]] = {}

    def add(self, request: str, gang: Any, seconds: float) -> None:
        """Record where a request was sent; this replaces an earlier record of the same request."""
        self._sent[request] = (gang, seconds, self._clock())

    def forget(self, request: str) -> None:
        """Drop the record of a request that is to be sent again."""
        self._sent.pop(request, None)

    def seconds(self, gang: Any) -> float:
        """Seconds of work sent to a gang recently."""
        now = self._clock()
        self._sent = {name: sent for name, sent in self._sent.items() if now - sent[2] < SEEN_AFTER_S}
        return sum(seconds for receiver, seconds, _ in self._sent.values() if receiver == gang)


def work_of(call: DenoiseCall, stats: Mapping[str, float]) -> float:
    """Seconds that a request takes on a gang, by the gang's own figures."""
    return call.message.flops / max(stats.get("flops_per_second", UNKNOWN_FLOPS_PER_SECOND), 1.0)


class LeastQueuedWork(RequestRouter):
    """Orders gangs by the work that waits at each: their figures, at most a second old, plus what was sent since."""

    def initialize_state(self, **options: Any) -> None:
        """Called by Serve once."""
        self.sent = SentWork()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The gangs in order of preference, each in a list of its own; Serve takes the first gang that accepts.

        From now on the work counts as sent to the first gang. Whether that gang accepts is known only a round trip
        later, and other requests are routed meanwhile.
        """
        if pending_request is not None:
            self.sent.forget(pending_request.metadata.internal_request_id)
        ordered = sorted(candidate_replicas, key=self._queued)
        if pending_request is not None and ordered:
            self._expect(pending_request, ordered[0])
        return [[replica] for replica in ordered]

    def _queued(self, replica: RunningReplica) -> float:
        return float(replica.routing_stats.get("queued_seconds", 0.0)) + self.sent.seconds(replica.replica_id)

    def _expect(self, pending_request: PendingRequest, replica: RunningReplica) -> None:
        call = next((argument for argument in pending_request.args if isinstance(argument, DenoiseCall)), None)
        if call is not None:
            seconds = work_of(call, replica.routing_stats)
            self.sent.add(pending_request.metadata.internal_request_id, replica.replica_id, seconds)

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Called by Serve when a gang has accepted a request; it need not be the first in the order."""
        replica = self.curr_replicas.get(replica_id)
        if replica is not None:
            self._expect(pending_request, replica)
