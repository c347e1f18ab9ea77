"""Which gang gets a request: the one with the least work queued, in seconds and not in requests.

An image and a 720p video are one request each and differ by a factor of a hundred.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.wire.calls import DenoiseCall

SEEN_AFTER_S = 2.0
"""A request sent longer ago than this is in the leaders' own figures."""
UNKNOWN_FLOPS_PER_SECOND = 1e12


class SentWork:
    """Seconds of work on its way to each gang, which its own figures may not show yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: dict[str, tuple[Any, float, float]] = {}

    def add(self, request: str, gang: Any, seconds: float) -> None:
        """A request is on its way, or goes elsewhere than was said before."""
        self._sent[request] = (gang, seconds, self._clock())

    def forget(self, request: str) -> None:
        """A request is to be sent anew."""
        self._sent.pop(request, None)

    def seconds(self, gang: Any) -> float:
        """Work sent of late."""
        now = self._clock()
        self._sent = {name: sent for name, sent in self._sent.items() if now - sent[2] < SEEN_AFTER_S}
        return sum(seconds for receiver, seconds, _ in self._sent.values() if receiver == gang)


def work_of(call: DenoiseCall, stats: Mapping[str, float]) -> float:
    """Seconds that a request takes on a gang, by what the gang says of itself."""
    return call.message.flops / max(stats.get("flops_per_second", UNKNOWN_FLOPS_PER_SECOND), 1.0)


class LeastQueuedWork(RequestRouter):
    """Ranks gangs by the work that waits at each, as they said within the last second, plus what was sent since."""

    def initialize_state(self, **options: Any) -> None:
        """Called by Serve once."""
        self.sent = SentWork()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The gangs in order of preference, one each rank, for Serve takes the first that accepts.

        The work counts as sent to the first one from now on: whether it has accepted is known only a round trip later,
        and other requests are routed meanwhile.
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
        """Called by Serve when a gang has accepted a request; it may be another one than the first."""
        replica = self.curr_replicas.get(replica_id)
        if replica is not None:
            self._expect(pending_request, replica)
