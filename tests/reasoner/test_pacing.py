"""Streams whose events travel together when there are many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from deployments.reasoner.pacing import LONGEST_PAUSE_S, Pace

EVENTS = [f"data: {number}\n\n" for number in range(20)]


class Source:
    """A stream of events, one in each `gap_s`; knows whether it was closed, and fails at its end if it is to."""

    def __init__(self, events: Sequence[str], gap_s: float, error: Exception | None = None) -> None:
        self.events, self.gap_s, self.error = events, gap_s, error
        self.closed = False

    async def stream(self) -> AsyncGenerator[str, None]:
        try:
            for event in self.events:
                await asyncio.sleep(self.gap_s)
                yield event
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


async def pieces_of(pace: Pace, source: Source) -> list[str]:
    async with aclosing(pace.joined(source.stream())) as pieces:
        return [piece async for piece in pieces]


def test_the_text_is_the_same() -> None:
    source = Source(EVENTS, 0.001)
    pieces = asyncio.run(pieces_of(Pace(100), source))
    assert "".join(pieces) == "".join(EVENTS)
    assert len(pieces) < len(EVENTS) and source.closed


def test_events_that_come_slowly_travel_alone() -> None:
    assert asyncio.run(pieces_of(Pace(1000), Source(EVENTS[:5], 0.02))) == EVENTS[:5]


def test_many_streams_share_the_pieces_of_a_second() -> None:
    async def run() -> tuple[int, float]:
        pace, begun = Pace(100), time.monotonic()
        found = await asyncio.gather(*(pieces_of(pace, Source(EVENTS, 0.01)) for _ in range(8)))
        assert all("".join(pieces) == "".join(EVENTS) for pieces in found)
        return sum(map(len, found)), time.monotonic() - begun

    pieces, seconds = asyncio.run(run())
    # One piece of each stream comes before its first pause, and one at its end.
    assert pieces <= 100 * seconds + 16


def test_no_stream_pauses_for_long() -> None:
    pace = Pace(1)

    async def run() -> float:
        async with aclosing(pace.joined(Source(EVENTS, 0.01).stream())) as pieces:
            await anext(pieces)
            return pace.pause_s

    assert asyncio.run(run()) == LONGEST_PAUSE_S
    assert pace.pause_s == 0


def test_the_first_event_goes_on_at_once() -> None:
    async def run() -> float:
        begun = time.monotonic()
        async with aclosing(Pace(0.1).joined(Source(EVENTS[:1] * 50, 0.05).stream())) as pieces:
            await anext(pieces)
            return time.monotonic() - begun

    assert asyncio.run(run()) < 0.1


def test_the_end_does_not_wait_for_a_pause() -> None:
    async def run() -> float:
        begun = time.monotonic()
        await pieces_of(Pace(0.001), Source(EVENTS[:3], 0.001))
        return time.monotonic() - begun

    assert asyncio.run(run()) < LONGEST_PAUSE_S


def test_a_failure_comes_after_what_was_said_before() -> None:
    async def run() -> list[str]:
        said = []
        with pytest.raises(RuntimeError, match="the engine died"):
            async for piece in Pace(100).joined(Source(EVENTS[:3], 0.001, RuntimeError("the engine died")).stream()):
                said.append(piece)
        return said

    assert "".join(asyncio.run(run())) == "".join(EVENTS[:3])


def test_closing_it_closes_the_source() -> None:
    source, pace = Source(EVENTS, 0.01), Pace(100)

    async def run() -> None:
        stream = pace.joined(source.stream())
        await anext(stream)
        await stream.aclose()

    asyncio.run(run())
    assert source.closed and pace.pause_s == 0


def test_a_second_cancellation_ends_it() -> None:
    """The first closes the stream, whose source takes its time to end."""

    async def slow_to_end() -> AsyncGenerator[str, None]:
        try:
            yield EVENTS[0]
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)

    async def run() -> bool:
        async def read() -> None:
            async with aclosing(Pace(100).joined(slow_to_end())) as pieces:
                async for _ in pieces:
                    pass
            # Not reached: the second cancellation goes on to whoever awaits this.

        task = asyncio.create_task(read())
        await asyncio.sleep(0.1)
        task.cancel("first")
        await asyncio.sleep(0.1)
        task.cancel("second")
        try:
            await task
        except asyncio.CancelledError as error:
            return error.args == ("second",)
        return False

    assert asyncio.run(asyncio.wait_for(run(), 10))
