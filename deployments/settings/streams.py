"""The settings of the event streams that an Ingress keeps open; see `deployments.ingress.open_streams`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deployments.settings.base import Settings


class StreamSettings(Settings):
    """Streams of jobs' events.

    Attributes:
        open: how many a replica of the Ingress keeps open; fewer than the requests that it handles at a time, so that
            streams never turn other requests away.
        each_key: how many of these one API key may have, or everybody together where there are no keys.
        ping_s: how often a stream without events says that it is alive.
        stall_s: how long a client may leave its stream unread before it is closed.
    """

    open: Annotated[int, Field(ge=1)] = 512
    each_key: Annotated[int, Field(ge=1)] = 256
    ping_s: Annotated[int, Field(ge=1)] = 15
    stall_s: Annotated[float, Field(gt=0)] = 60.0
