"""Snapshots of running requests, from which they go on when their gang has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from deployments.generator.gang import Gang
from deployments.generator.running_request import RunningRequest
from deployments.logs import log

LAST_SAVE_S = 10.0
PRODUCT = "snapshot"


class Snapshots:
    """Saves the requests of one gang.

    Attributes:
        gang: the gang that runs the requests.
        interval_s: seconds between two snapshots of a request.
    """

    def __init__(self, gang: Gang, interval_s: float) -> None:
        self.gang = gang
        self.interval_s = interval_s

    def save_if_due(self, request: RunningRequest) -> None:
        """Start to save a request whose last snapshot is old enough."""
        uri = request.call.snapshot
        if uri is not None and not request.busy and time.monotonic() - request.saved_at >= self.interval_s:
            self._start_to_save(request, uri)

    def save_all(self, requests: Iterable[RunningRequest], since: float) -> None:
        """Start to save every resident request that was not saved since a moment."""
        for request in requests:
            uri = request.call.snapshot
            if uri is not None and request.task.resident and not request.busy and request.saved_at <= since:
                self._start_to_save(request, uri)

    async def save_last(self, request: RunningRequest) -> None:
        """Save a request before it is removed, unless that takes too long."""
        uri = request.call.snapshot
        if uri is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SAVE_S):
                    await request.try_to_make(PRODUCT, self._save(request, uri))

    def _start_to_save(self, request: RunningRequest, uri: str) -> None:
        request.saved_at = time.monotonic()
        request.start_in_background(PRODUCT, self._save(request, uri))

    async def _save(self, request: RunningRequest, uri: str) -> None:
        """Write a snapshot.

        The snapshot stays when the stream is closed meanwhile. Either the job has ended, and then Jobs' sweep removes
        the snapshot, or the caller has died, and then the job's next caller goes on from it.
        """
        step = await self.gang.save(request.task.id, uri)
        if step:
            log.info("saved at step %d", step)
