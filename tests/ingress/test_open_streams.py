"""Event streams are counted while they are open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sse_starlette import ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message, Send

from deployments.ingress.errors import ApiError
from deployments.ingress.open_streams import OpenStreams
from deployments.settings.streams import StreamSettings


async def events() -> AsyncIterator[ServerSentEvent]:
    for number in range(3):
        yield ServerSentEvent(str(number))


async def endless() -> AsyncIterator[ServerSentEvent]:
    while True:
        yield ServerSentEvent("x")
        await asyncio.sleep(0)


def test_no_more_streams_than_there_are_places() -> None:
    async def test() -> None:
        streams = OpenStreams(StreamSettings(open=3, each_key=2))
        first = [streams.answer("a", events()) for _ in range(2)]
        with pytest.raises(ApiError) as caught:
            streams.answer("a", events())
        assert caught.value.status == 429 and "Retry-After" in caught.value.headers
        second = streams.answer("b", events())
        with pytest.raises(ApiError):
            streams.check("c")
        for answer in (*first, second):
            sent: list[Message] = []
            await answer({"type": "http", "method": "GET"}, _connected, _keeping(sent))
            assert len([message for message in sent if message.get("body")]) >= 3
        assert streams.number == 0
        streams.check("a")

    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_client_that_does_not_read_is_given_up() -> None:
    async def test() -> None:
        streams = OpenStreams(StreamSettings(stall_s=0.2))
        answer = streams.answer("a", endless())

        async def never(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        with pytest.raises(SendTimeoutError):
            await answer({"type": "http", "method": "GET"}, _connected, never)
        assert streams.number == 0

    asyncio.run(asyncio.wait_for(test(), 30))


async def _connected() -> Message:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


def _keeping(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send
