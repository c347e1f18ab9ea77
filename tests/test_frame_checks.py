"""Frames on their way through the guardrails, as the Decoder sends them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked, Frames
from deployments.frame_checks import FrameChecks
from deployments.wire import guardrails
from deployments.wire.guardrails import GuardrailsClient
from tests.guardrails import Handle, guardrails_of


def chunk(value: int, count: int = 4) -> Frames:
    return np.full((count, 16, 16, 3), value, np.uint8)


class Source:
    """Chunks as a decoder yields them.

    Attributes:
        decoded: how many were decoded.
    """

    def __init__(self, *values: int) -> None:
        self.values = values
        self.decoded = 0

    def __iter__(self) -> Iterator[Frames]:
        for value in self.values:
            self.decoded += 1
            yield chunk(value)


def through(client: GuardrailsClient, source: Source) -> tuple[list[Frames], FrameChecks]:
    """The frames that come through, in a thread beside the event loop, as in the Decoder."""

    async def run() -> tuple[list[Frames], FrameChecks]:
        checks = FrameChecks(client, "job", asyncio.get_running_loop())
        return await asyncio.to_thread(lambda: list(checks.through(iter(source)))), checks

    return asyncio.run(asyncio.wait_for(run(), 30))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GuardrailsClient:
    handle = Handle(guardrails_of(tmp_path))
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: handle)
    return GuardrailsClient("checks")


def test_chunks_come_through_in_order_as_they_may_be_shown(client: GuardrailsClient) -> None:
    shown, checks = through(client, Source(10, 200, 20))
    assert [int(part.max()) for part in shown] == [10, 100, 20] and all(len(part) == 4 for part in shown)
    assert [(check.of, check.outcome) for check in checks.checks] == [("frames", Outcome.BLURRED)]


def test_without_chunks_there_is_nothing_to_say(client: GuardrailsClient) -> None:
    shown, checks = through(client, Source())
    assert (shown, checks.checks) == ([], ())


def test_nothing_is_decoded_long_after_a_block(client: GuardrailsClient) -> None:
    source = Source(10, 255, *[10] * 20)
    with pytest.raises(ContentBlocked):
        through(client, source)
    # One more is decoded while the blocked one is looked at.
    assert source.decoded == 3


class Slow:
    """Guardrails that need their time.

    Attributes:
        seen: how many chunks were asked about.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.running = 0
        self.most = 0

    async def check_frames(self, job_id: str, frames: Frames) -> Any:
        self.seen += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.05)
            return guardrails.CheckedChunk(())
        finally:
            self.running -= 1


def test_at_most_two_chunks_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(slow))
    shown, _ = through(GuardrailsClient("checks"), Source(*range(6)))
    assert [int(part.max()) for part in shown] == list(range(6)) and (slow.seen, slow.most) == (6, 2)


def test_a_reader_that_stops_asks_about_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, source, stopped = Slow(), Source(*range(20)), threading.Event()
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(slow))

    async def run() -> None:
        checks = FrameChecks(GuardrailsClient("checks"), "job", asyncio.get_running_loop())

        def read() -> None:
            parts = checks.through(iter(source))
            next(parts)
            parts.close()  # type: ignore[attr-defined]  # a generator
            stopped.set()

        await asyncio.to_thread(read)
        deadline = time.monotonic() + 5
        while slow.running and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert stopped.is_set() and source.decoded == 2 and slow.running == 0


def test_what_is_abandoned_while_a_chunk_is_decoded_asks_about_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(slow))

    async def run() -> None:
        checks = FrameChecks(GuardrailsClient("checks"), "job", asyncio.get_running_loop())

        def chunks() -> Iterator[Frames]:
            checks.abandon()
            yield chunk(10)

        def read() -> None:
            with pytest.raises(CancelledError):
                list(checks.through(chunks()))

        await asyncio.to_thread(read)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert slow.seen == 0
