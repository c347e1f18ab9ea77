"""Calls through handles: a caller that no longer waits cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing
from typing import Any

import pytest

from deployments.wire.handles import answer_of, items_of


class Response:
    """A response of a deployment: awaited for its answer, or iterated for its items."""

    def __init__(self, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.cancelled = False
        self._error = error
        self._seconds = seconds

    def cancel(self) -> None:
        self.cancelled = True

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(self._seconds).__await__()
        if self._error is not None:
            raise self._error
        return "answer"

    async def __aiter__(self) -> AsyncIterator[int]:
        for item in range(3):
            yield item
        if self._error is not None:
            raise self._error


def test_an_answer_that_came_is_not_cancelled() -> None:
    response = Response()
    assert asyncio.run(answer_of(response)) == "answer"
    assert not response.cancelled


def test_a_caller_that_gives_up_cancels_the_call() -> None:
    response = Response(seconds=60)

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await answer_of(response)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert response.cancelled


def test_a_stream_that_was_read_is_not_cancelled() -> None:
    response = Response()

    async def read() -> list[int]:
        return [item async for item in items_of(response)]

    assert asyncio.run(read()) == [0, 1, 2]
    assert not response.cancelled


def test_a_stream_that_is_closed_early_is_cancelled() -> None:
    response = Response()

    async def read_one() -> int:
        async with aclosing(items_of(response)) as items:
            return int(await anext(items))

    assert asyncio.run(read_one()) == 0
    assert response.cancelled


def test_a_failed_call_raises_its_error() -> None:
    async def read(response: Response) -> None:
        async for _ in items_of(response):
            pass

    for call in (answer_of, read):
        with pytest.raises(ValueError, match="broken"):
            asyncio.run(call(Response(ValueError("broken"))))
