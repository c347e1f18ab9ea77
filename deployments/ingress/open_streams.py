"""How many event streams are open, of a replica and of each API key: each holds a call to Jobs and a connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.settings.streams import StreamSettings


class OpenStreams:
    """The event streams of a replica.

    Args:
        settings: the operator's bounds.

    Attributes:
        settings: the operator's bounds.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self._open: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """How many are open."""
        return self._open.total()

    def check(self, api_key: str) -> None:
        """Refuse a stream for which there is no place.

        Raises:
            ApiError: 429, with when to ask again.
        """
        if self._open[api_key] >= self.settings.each_key or self.number >= self.settings.open:
            message = "too many event streams are open; close one, or poll the job with GET /v1/videos/{id}"
            raise ApiError(429, message, headers=RETRY_AFTER)

    def answer(self, api_key: str, events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
        """A stream as an answer, which counts for as long as it is open.

        Args:
            api_key: the name of the caller's key.
            events: what it sends.

        Raises:
            ApiError: 429, as `check`.
        """
        self.check(api_key)
        return _Counted(self._open, api_key, events, self.settings)


class _Counted(EventSourceResponse):
    """Counts a stream from when it is made, because the next one may be made before this one is sent."""

    def __init__(
        self,
        counts: Counter[str],
        api_key: str,
        events: AsyncIterator[ServerSentEvent],
        settings: StreamSettings,
    ) -> None:
        super().__init__(events, ping=settings.ping_s, send_timeout=settings.stall_s)
        self._counts, self._api_key = counts, api_key
        counts[api_key] += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream to its end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._counts[self._api_key] -= 1
            if not self._counts[self._api_key]:
                del self._counts[self._api_key]
