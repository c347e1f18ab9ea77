"""When running requests are shown: the ranks make the pictures, and Jobs records them as events."""

from __future__ import annotations

import time

from cosmos3_core.codecs.preview_map import PreviewMap
from deployments.generator.gang import Gang
from deployments.generator.running_request import RunningRequest
from deployments.wire.calls import Preview


class Previews:
    """Shows the requests of one gang to their listeners.

    Attributes:
        gang: the gang that runs the requests.
        interval_s: seconds between two previews of a request.
    """

    def __init__(self, gang: Gang, interval_s: float) -> None:
        self.gang = gang
        self.interval_s = interval_s

    def show_if_due(self, request: RunningRequest) -> None:
        """Start to show a request whose last preview is old enough."""
        now, colours = time.monotonic(), request.call.message.preview
        if colours is not None and not request.busy and now - request.shown_at >= self.interval_s:
            request.shown_at = now
            request.start_in_background("preview", self._show(request, colours))

    async def _show(self, request: RunningRequest, colours: PreviewMap) -> None:
        jpeg = await self.gang.preview(request.task.id, colours)
        if jpeg is not None:
            step = request.call.message.sampling.steps - request.task.steps_left
            request.updates.put_nowait(Preview(step=step, jpeg=jpeg))
