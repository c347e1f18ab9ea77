"""What is done for running requests beside their steps: snapshots, with which they outlive their gang, and previews.

No step waits for it. A request has at most one of them under way, and goes on without one that fails; that a rank is
gone is for the step loop to see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from cosmos3_core.codecs.preview_map import PreviewMap
from deployments.background import in_background
from deployments.generator.gang import Gang
from deployments.generator.running_request import Request
from deployments.logs import log, logs_for
from deployments.settings import GeneratorSettings
from deployments.wire.calls import Preview

SILENCE_S = 5.0
"""Serve asks a replica for its health and its figures twice a second or so, until it means to stop it."""
LAST_SAVE_S = 10.0


class Snapshots:
    """Saves and shows requests of one gang when it is time to."""

    def __init__(self, gang: Gang, settings: GeneratorSettings) -> None:
        self.gang = gang
        self.settings = settings
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        """Serve has asked for something."""
        self._heard_at = time.monotonic()

    def look_after(self, request: Request) -> None:
        """Save or show a request that has just made a step, when it is time to."""
        if request.busy:
            return
        now, uri, colours = time.monotonic(), request.call.snapshot, request.call.message.preview
        if uri is not None and now - request.saved_at >= self.settings.snapshot_interval_s:
            self._begin_to_save(request, uri)
        elif colours is not None and now - request.shown_at >= self.settings.preview_interval_s:
            request.shown_at = now
            request.background = in_background(_unfailing(request, "preview", self._show(request, colours)))

    def save_before_a_stop(self, requests: Iterable[Request]) -> None:
        """Save every request once when Serve has fallen silent: it tells a replica nothing before it stops it."""
        if time.monotonic() - self._heard_at < SILENCE_S:
            return
        for request in requests:
            uri = request.call.snapshot
            if uri is not None and request.task.resident and not request.busy and request.saved_at <= self._heard_at:
                self._begin_to_save(request, uri)

    async def save_last(self, request: Request) -> None:
        """Save a request that is about to be let go, unless that takes too long."""
        uri = request.call.snapshot
        if uri is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SAVE_S):
                    await _unfailing(request, "snapshot", self._save(request, uri))

    def _begin_to_save(self, request: Request, uri: str) -> None:
        request.saved_at = time.monotonic()
        request.background = in_background(_unfailing(request, "snapshot", self._save(request, uri)))

    async def _save(self, request: Request, uri: str) -> None:
        """Write a snapshot.

        It stays when the stream is closed meanwhile. That may mean that its job is over, and then `sweep` removes it,
        or that its driver has died, and then somebody else goes on from here.
        """
        step = await self.gang.save(request.task.id, uri)
        if step:
            log.info("saved at step %d", step)

    async def _show(self, request: Request, colours: PreviewMap) -> None:
        jpeg = await self.gang.preview(request.task.id, colours)
        if jpeg is not None:
            request.updates.put_nowait(Preview(request.call.message.sampling.steps - request.task.steps_left, jpeg))


async def _unfailing(request: Request, name: str, work: Coroutine[Any, Any, None]) -> None:
    with logs_for(request.call.job_id):
        try:
            await work
        except Exception:
            log.exception("no %s", name)
