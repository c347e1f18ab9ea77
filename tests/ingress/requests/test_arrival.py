"""Bodies as they arrive: too large, too slow, and left off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.arrival import arriving, declared_bytes
from deployments.settings.intake import IntakeSettings


def request_of(pieces: Iterable[tuple[float, bytes | None]], **headers: str) -> Request:
    """A body whose pieces come after so many seconds each; None is the client hanging up."""
    coming = iter(pieces)

    async def receive() -> Message:
        for pause, piece in coming:
            await asyncio.sleep(pause)
            if piece is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    return Request(scope, receive)


def read(pieces: Iterable[tuple[float, bytes | None]], limit: int = 1000, **settings: Any) -> bytes:
    async def reading() -> bytes:
        arrived = arriving(request_of(pieces), limit, IntakeSettings(**settings))
        return b"".join([piece async for piece in arrived])

    return asyncio.run(reading())


def refused(pieces: Iterable[tuple[float, bytes | None]], **settings: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(pieces, **settings)
    return caught.value


def test_a_body() -> None:
    assert read([(0, b"ab"), (0, b""), (0, b"c")]) == b"abc"
    assert read([]) == b""


def test_a_body_may_have_as_much_as_its_limit() -> None:
    assert read([(0, b"x" * 500)] * 2) == b"x" * 1000
    assert refused([(0, b"x" * 500), (0, b"x" * 501)]).status == 413


@pytest.mark.parametrize(
    ("declared", "found"),
    [("10", 10), ("0", 0), ("", None), ("-1", None), ("1e3", None), ("1" * 5000, 413), ("101", 413)],
)
def test_what_a_body_declares(declared: str, found: int | None) -> None:
    request = request_of([], **{"content-length": declared})
    if found == 413:
        with pytest.raises(ApiError) as caught:
            declared_bytes(request, 100)
        assert caught.value.status == 413
    else:
        assert declared_bytes(request, 100) == found


def test_a_client_that_sends_nothing_any_more() -> None:
    started = time.monotonic()
    error = refused([(0, b"x"), (60, b"y")], idle_s=0.2, least_bytes_per_s=0)
    assert time.monotonic() - started < 5
    assert (error.status, error.headers["x-should-retry"], error.headers["Connection"]) == (408, "false", "close")


def test_a_client_that_sends_a_little_now_and_then() -> None:
    started = time.monotonic()
    assert refused([(0.05, b"x")] * 500, idle_s=0.3, least_bytes_per_s=1000).status == 408
    assert time.monotonic() - started < 5


def test_a_client_that_is_fast_enough_on_the_whole() -> None:
    pieces = [(0.0, b"x" * 400), *[(0.1, b"x")] * 5]
    assert len(read(pieces, idle_s=0.2, least_bytes_per_s=1000)) == 405


def test_a_client_that_declares_much_has_to_be_faster() -> None:
    async def reading() -> None:
        request = request_of([(0.05, b"x" * 100)] * 500, **{"content-length": "500000"})
        async for _ in arriving(request, 10**6, IntakeSettings(idle_s=0.3, least_bytes_per_s=10, arrival_s=5.0)):
            pass

    started = time.monotonic()
    with pytest.raises(ApiError, match="100000 bytes per second") as caught:
        asyncio.run(reading())
    assert caught.value.status == 408 and time.monotonic() - started < 5


@pytest.mark.parametrize("least", [0, 10])
def test_a_client_that_does_not_declare_its_body_has_no_longer(least: int) -> None:
    started = time.monotonic()
    error = refused([(0.05, b"x" * 10)] * 90, idle_s=0.1, arrival_s=0.3, least_bytes_per_s=least)
    assert (error.status, time.monotonic() - started < 3) == (408, True)


def test_time_that_the_reader_takes_is_not_the_clients() -> None:
    async def reading() -> int:
        settings, count = IntakeSettings(idle_s=0.2, least_bytes_per_s=1000), 0
        async for _ in arriving(request_of([(0, b"x")] * 5), 100, settings):
            await asyncio.sleep(0.1)
            count += 1
        return count

    assert asyncio.run(reading()) == 5


def test_a_client_that_hangs_up() -> None:
    assert refused([(0, b"x"), (0, None)]).status == 499
