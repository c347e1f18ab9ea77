"""One call for all who want the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from deployments.single_flight import SingleFlight


class Calls:
    """Calls that wait for `turn`, and are counted.

    Attributes:
        started, cancelled: how many.
        failure: raised instead of an answer.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Event()
        self.started = self.cancelled = 0
        self.failure: Exception | None = None

    async def call(self) -> int:
        self.started += 1
        number = self.started
        try:
            await self.turn.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number


def run(test: Callable[[SingleFlight[str, int], Calls], Coroutine[Any, Any, None]]) -> None:
    async def timed() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        async with asyncio.timeout(10):
            await test(flights, Calls())
        assert len(flights) == 0

    asyncio.run(timed())


async def waiting(flights: SingleFlight[str, int], calls: Calls, *keys: str) -> list[asyncio.Task[int]]:
    """Tasks that wait for calls under these keys."""
    tasks = [asyncio.create_task(flights.run(key, calls.call)) for key in keys]
    await settle()
    return tasks


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_equal_calls_are_one_and_others_are_others() -> None:
    async def test(flights: SingleFlight[str, int], calls: Calls) -> None:
        tasks = await waiting(flights, calls, "a", "a", "b", "a")
        assert calls.started == len(flights) == 2
        calls.turn.set()
        assert await asyncio.gather(*tasks) == [1, 1, 2, 1]

    run(test)


def test_a_call_that_has_ended_is_made_again() -> None:
    async def test(flights: SingleFlight[str, int], calls: Calls) -> None:
        calls.turn.set()
        assert [await flights.run("a", calls.call), await flights.run("a", calls.call)] == [1, 2]

    run(test)


def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    async def test(flights: SingleFlight[str, int], calls: Calls) -> None:
        calls.failure = RuntimeError("no")
        tasks = await waiting(flights, calls, "a", "a")
        calls.turn.set()
        assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == ["no", "no"]
        calls.failure = None
        assert await flights.run("a", calls.call) == 2

    run(test)


def test_a_call_goes_on_while_somebody_waits() -> None:
    async def test(flights: SingleFlight[str, int], calls: Calls) -> None:
        first, second = await waiting(flights, calls, "a", "a")
        first.cancel()
        await settle()
        assert first.cancelled() and calls.cancelled == 0
        calls.turn.set()
        assert await second == 1

    run(test)


def test_a_call_that_nobody_waits_for_is_cancelled_and_nobody_joins_it() -> None:
    async def test(flights: SingleFlight[str, int], calls: Calls) -> None:
        first, second = await waiting(flights, calls, "a", "a")
        first.cancel()
        second.cancel()
        # Before the cancelled call has had a chance to end.
        await asyncio.sleep(0)
        (third,) = await waiting(flights, calls, "a")
        assert (calls.started, calls.cancelled) == (2, 1)
        calls.turn.set()
        assert await third == 2
        with pytest.raises(asyncio.CancelledError):
            await first

    run(test)
