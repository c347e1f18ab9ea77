"""Which gang gets a request: the one with the least work queued, in seconds and not in requests.

An image and a 720p video are one request each and differ by a factor of a hundred.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.calls import DenoiseCall

STATS_PERIOD_S = 0.5
"""How often Serve asks the leaders; it draws each wait from half to one and a half of it."""
SEEN_AFTER_S = 2.0
"""A request sent longer ago than this is in the leaders' own figures."""
UNKNOWN_FLOPS_PER_SECOND = 1e12


class SentWork:
    """Seconds of work sent to each gang that its own figures may not show yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: defaultdict[Any, list[tuple[float, float]]] = defaultdict(list)

    def add(self, gang: Any, seconds: float) -> None:
        """Some work is on its way."""
        self._sent[gang].append((self._clock(), seconds))

    def seconds(self, gang: Any) -> float:
        """Work sent of late."""
        recent = [(at, seconds) for at, seconds in self._sent[gang] if self._clock() - at < SEEN_AFTER_S]
        self._sent[gang] = recent
        return sum(seconds for _, seconds in recent)

    def keep(self, gangs: set[Any]) -> None:
        """Forget gangs that are gone."""
        for gang in self._sent.keys() - gangs:
            del self._sent[gang]


def work_of(call: DenoiseCall, stats: Mapping[str, float]) -> float:
    """Seconds that a request takes on a gang, by what the gang says of itself."""
    return call.message.flops / max(stats.get("flops_per_second", UNKNOWN_FLOPS_PER_SECOND), 1.0)


class LeastQueuedWork(RequestRouter):
    """Ranks gangs by the work that waits at each, as they said within the last second, plus what was sent since."""

    def initialize_state(self, **options: Any) -> None:
        """Called by Serve once."""
        self.sent = SentWork()

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Called by Serve when gangs come and go."""
        super().update_replicas(replicas)
        self.sent.keep({replica.replica_id for replica in replicas})

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The gangs in order of preference, one each rank, for Serve takes the first that accepts."""
        return [[replica] for replica in sorted(candidate_replicas, key=self._queued)]

    def _queued(self, replica: RunningReplica) -> float:
        return float(replica.routing_stats.get("queued_seconds", 0.0)) + self.sent.seconds(replica.replica_id)

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Called by Serve when a request has been sent: until the gang says so itself, its work is remembered here."""
        call = next((argument for argument in pending_request.args if isinstance(argument, DenoiseCall)), None)
        replica = self.curr_replicas.get(replica_id)
        if call is not None and replica is not None:
            self.sent.add(replica_id, work_of(call, replica.routing_stats))
