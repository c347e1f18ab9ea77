"""Streams whose first event is an error become plain answers; others stay as they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

import pytest

from deployments.reasoner.beginnings import begun
from deployments.wire.reasoner_calls import ReasonerAnswer

ERROR = {"error": {"message": "takes too long", "type": "BadRequestError", "param": "structured_outputs", "code": 400}}
REFUSED = f"data: {json.dumps(ERROR)}\n\n"
DONE = "data: [DONE]\n\n"
TOKEN = 'data: {"id": "x", "choices": []}\n\n'


class Source:
    """A stream of events that knows whether it was closed."""

    def __init__(self, events: Sequence[str]) -> None:
        self.events, self.closed = events, False

    async def stream(self) -> AsyncGenerator[str, None]:
        try:
            for event in self.events:
                yield event
        finally:
            self.closed = True


async def answered(source: Source) -> ReasonerAnswer | list[str]:
    answer = await begun(source.stream())
    return answer if isinstance(answer, ReasonerAnswer) else [event async for event in answer]


def test_an_error_at_the_beginning_is_a_plain_answer() -> None:
    source = Source([REFUSED, DONE])
    assert asyncio.run(answered(source)) == ReasonerAnswer(400, ERROR)
    assert source.closed


@pytest.mark.parametrize(
    "events", [[], [TOKEN, DONE], [TOKEN, REFUSED, DONE], ['data: {"error": null}\n\n'], ['data: {"error']]
)
def test_any_other_stream_stays_as_it_is(events: list[str]) -> None:
    source = Source(events)
    assert asyncio.run(answered(source)) == events
    assert source.closed


def test_closing_it_closes_the_source() -> None:
    source = Source([TOKEN] * 3)

    async def test() -> None:
        events = await begun(source.stream())
        assert not isinstance(events, ReasonerAnswer)
        await anext(events)
        await events.aclose()

    asyncio.run(test())
    assert source.closed
