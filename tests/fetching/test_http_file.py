"""Files fetched over HTTP from servers on loopback: redirects, bodies of all kinds, and bounds on size and time."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from typing import Any

import pytest

from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.http_file import Limits, fetch_http
from deployments.fetching.policy import AddressPolicy
from tests.fetching.fetchers import CountingFetcher
from tests.http_receiver import (
    PRIVATE_BODY,
    Answer,
    Receiver,
    answers,
    dribbles,
    hangs,
    never_ends,
    redirects,
    resolves,
    run,
    talks_nonsense,
)

LIMIT = 2**20


def fetcher(**settings: Any) -> CountingFetcher:
    return CountingFetcher(**{"allow_private": True, "max_bytes": LIMIT} | settings)


def says(*lines: str, body: bytes = b"") -> Answer:
    """An answer whose head is written as it is."""

    async def write(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
        writer.write("\r\n".join(("HTTP/1.1 200 OK", *lines)).encode() + b"\r\n\r\n" + body)

    return write


async def floods(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """A body without an end, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not closing.is_set() and not writer.is_closing():
        writer.write(bytes(2**16))
        await writer.drain()
        await asyncio.sleep(0)


async def drips(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """A body that always goes on, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not closing.is_set() and not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


def test_a_file_and_what_its_host_hears_of_us() -> None:
    async def test() -> None:
        async with Receiver(answers(200, "content-type: image/png", "set-cookie: a=b")) as receiver:
            assert await fetcher().fetch(f"{receiver.url}?a=%20b&c", 10) == PRIVATE_BODY
            (heard,) = receiver.received
        assert heard.line == "GET /hook?a=%20b&c HTTP/1.1" and heard.body == b""
        assert heard.headers.keys() <= {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert heard.headers["accept-encoding"] == "identity"

    run(test())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_cookies(status: int) -> None:
    async def test() -> None:
        async with Receiver() as last:
            first = answers(status, f"location: {last.url}#part", "set-cookie: a=b")
            async with Receiver(first) as receiver:
                assert await fetcher().fetch(receiver.url, 10) == PRIVATE_BODY
            assert "cookie" not in last.received[0].headers and "referer" not in last.received[0].headers

    run(test())


@pytest.mark.parametrize("location", ["/again", "?x", "again"])
@pytest.mark.parametrize("most", [0, 1, 4])
def test_redirects_in_a_circle_end(location: str, most: int) -> None:
    async def test() -> None:
        async with Receiver(redirects(302, location)) as receiver:
            error = await fetcher(redirects=most).refusal(receiver.url)
            assert receiver.connections == most + 1
        expected = f"more than {most} redirects" if most else "a redirect, and this server follows none"
        assert expected in error.reason

    run(test())


@pytest.mark.parametrize("location", ["http://[::1", "http://a b/", "http://\xff/", "https:", "http://a:b@c/"])
def test_a_redirect_to_no_url(location: str) -> None:
    async def test() -> None:
        async with Receiver(redirects(302, location)) as receiver:
            error = await fetcher().refusal(receiver.url)
        assert error.reason.startswith(("leads to a redirect", "leads to a host whose answer "))

    run(test())


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (says("content-length: 3", body=b"abcdef"), b"abc"),
        (says(body=b"abc"), b"abc"),
        (says("transfer-encoding: chunked", body=b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), b"abc"),
        (answers(200, "content-encoding: gzip", body=gzip.compress(b"abc")), b"abc"),
        (answers(200, "content-encoding: X-GZIP", body=gzip.compress(b"abc") + b"more"), b"abc"),
        (answers(200, "content-encoding: identity", body=b"abc"), b"abc"),
        (answers(200, body=b""), b""),
        (answers(200, body=bytes(LIMIT)), bytes(LIMIT)),
        (answers(200, "content-encoding: gzip", body=gzip.compress(bytes(LIMIT))), bytes(LIMIT)),
    ],
)
def test_bodies(answer: Answer, content: bytes) -> None:
    async def test() -> None:
        async with Receiver(answer) as receiver:
            assert await fetcher().fetch(receiver.url, 10) == content

    run(test())


BOMB = gzip.compress(bytes(50 * LIMIT))
RAW_DEFLATE = zlib.compress(b"abc")


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (floods, Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (answers(200, body=bytes(LIMIT + 1)), Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (says(f"content-length: {LIMIT + 1}"), Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (says("content-length: 99999999999999999999"), Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (answers(200, "content-encoding: gzip", body=BOMB), Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (answers(200, "content-encoding: gzip", body=BOMB[:-9]), Outcome.TOO_LARGE, "more than 1048576 bytes"),
        (answers(200, "content-encoding: gzip", body=gzip.compress(b"abc")[:-9]), Outcome.FAILED, "ends too early"),
        (answers(200, "content-encoding: gzip", body=b"abc"), Outcome.FAILED, "is damaged"),
        (answers(200, "content-encoding: gzip", body=b""), Outcome.FAILED, "ends too early"),
        (answers(200, "content-encoding: deflate", body=RAW_DEFLATE), Outcome.FAILED, "other means than gzip"),
        (answers(200, "content-encoding: br", body=b"abc"), Outcome.FAILED, "other means than gzip"),
        (answers(200, "content-encoding: gzip, gzip", body=b"abc"), Outcome.FAILED, "other means than gzip"),
        (says("content-length: 10", body=b"abc"), Outcome.FAILED, "broke off"),
        (says("content-length: -1", body=b"abc"), Outcome.FAILED, "broke off"),
        (says("content-length: 3", "content-length: 4", body=b"abcd"), Outcome.FAILED, "broke off"),
        (says("transfer-encoding: chunked", body=b"zz\r\nabc"), Outcome.FAILED, "broke off"),
        (says("transfer-encoding: chunked", body=b"3\r\nabc\r\n"), Outcome.FAILED, "broke off"),
        (says("x-long: " + "x" * 200_000), Outcome.FAILED, "broke off"),
        (talks_nonsense, Outcome.FAILED, "broke off"),
    ],
)
def test_bodies_that_are_refused(answer: Answer, outcome: Outcome, reason: str) -> None:
    async def test() -> None:
        found = fetcher()
        async with Receiver(answer) as receiver:
            error = await found.refusal(receiver.url)
        assert (error.outcome, reason in error.reason) == (outcome, True), error.reason
        assert found._budget.held == 0

    run(test())


def test_a_bomb_is_never_held() -> None:
    held: list[int] = []

    async def test() -> None:
        async with Receiver(answers(200, "content-encoding: gzip", body=BOMB)) as receiver:
            policy = AddressPolicy(enabled=True, hosts=None, allow_private=True)
            limits = Limits(redirects=0, max_bytes=LIMIT, timeout_s=10, proxy=None)
            with pytest.raises(FetchError, match="more than 1048576 bytes"):
                await fetch_http(policy.check(receiver.url), policy, limits, held.append)

    run(test())
    assert sum(held) <= LIMIT


@pytest.mark.parametrize("answer", [hangs, dribbles, never_ends, drips])
def test_a_slow_host_is_left(answer: Answer) -> None:
    async def test() -> None:
        async with Receiver(answer) as receiver:
            started = time.monotonic()
            error = await fetcher().refusal(receiver.url, 0.2)
            assert time.monotonic() - started < 2
        assert (error.outcome, error.reason) == (
            Outcome.TIMED_OUT,
            "leads to a file that did not arrive within 0.2 s",
        )

    run(test())


def test_a_slow_name_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr("deployments.addresses.resolve", resolve)

    async def test() -> None:
        assert (await fetcher().refusal("http://slow.test/", 0.1)).outcome is Outcome.TIMED_OUT

    run(test())


def test_a_proxy_is_used_only_if_the_operator_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver() as proxy, Receiver() as receiver:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            address = f"http://media.test:{receiver.port}/a.png"
            assert await fetcher().fetch(address, 10) == PRIVATE_BODY
            assert (proxy.connections, receiver.connections) == (0, 1)
            asked.clear()
            through = fetcher(proxy=f"http://127.0.0.1:{proxy.port}", allow_private=False)
            assert await through.fetch(address, 10) == PRIVATE_BODY
            assert (proxy.connections, receiver.connections, asked) == (1, 1, [])
            assert proxy.received[0].line == f"GET {address} HTTP/1.1"
            # What shows without a name server is refused all the same.
            assert "not globally routable" in (await through.refusal(receiver.url)).reason
            assert proxy.connections == 1

    run(test())
