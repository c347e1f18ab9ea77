"""Streams whose events travel together when there are many: what Serve does for a piece costs more than a token.

An event that comes alone goes on at once. Nothing is ever held back for the next event: a stream only pauses after it
has sent a piece, and what came meanwhile is the next piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

LONGEST_PAUSE_S = 0.1
"""However many streams there are, each sends what it has so often."""


class Pace:
    """The streams of one replica, which share a number of pieces a second.

    Attributes:
        pieces_per_s: how many pieces all streams together send in a second, unless `LONGEST_PAUSE_S` asks for more.
    """

    def __init__(self, pieces_per_s: float) -> None:
        self.pieces_per_s = pieces_per_s
        self._streams = 0

    @property
    def pause_s(self) -> float:
        """How long a stream waits between two pieces."""
        return min(self._streams / self.pieces_per_s, LONGEST_PAUSE_S)

    async def joined(self, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        """The same text in fewer pieces. Closing it closes `events`.

        Args:
            events: server-sent events, each whole.
        """
        self._streams += 1
        arrived = _Arrived()
        reader = asyncio.create_task(arrived.read(events))
        try:
            while piece := await arrived.take():
                yield piece
                await arrived.pause(self.pause_s)
            await reader
        finally:
            self._streams -= 1
            reader.cancel()
            # Awaiting the reader itself could not tell its cancellation from another one of this task.
            await asyncio.wait({reader})
            if not reader.cancelled():
                reader.exception()
            await events.aclose()


class _Arrived:
    """Events of one stream that have come and were not sent yet."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    async def read(self, events: AsyncGenerator[str, None]) -> None:
        """Take the events as they come, to the last."""
        try:
            async for event in events:
                self._text.append(event)
                self._changed.set()
        finally:
            self._over.set()
            self._changed.set()

    async def take(self) -> str:
        """All that has come, as soon as there is anything; empty once the stream is over."""
        await self._changed.wait()
        piece = "".join(self._text)
        self._text.clear()
        if not self._over.is_set():
            self._changed.clear()
        return piece

    async def pause(self, seconds: float) -> None:
        """Let some time pass, or less if the stream ends."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
