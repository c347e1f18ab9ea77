"""Addresses that lead into a private network: no connection reaches a listener there, however they are spelled."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import httpx
import pytest

from deployments import addresses
from deployments.fetching.errors import Outcome
from tests.fetching.fetchers import CountingFetcher
from tests.http_receiver import PRIVATE_BODY, Answer, Receiver, answers, redirects, resolves, run

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0.0.1",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[::1%25lo]",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "127.0.0.1@127.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "127.0.0.1%00.example.com",
    "127.0.0.1\\@example.com",
    "[::1]example.com",
    "loc\talhost",
    "localhost%2e",
]
CONNECTS = ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "127.000.000.001", "[::ffff:127.0.0.1]"]
METADATA = ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]"]


def a_public(monkeypatch: pytest.MonkeyPatch, address: str = "127.0.0.1") -> None:
    """Let one loopback address count as public, since no test can listen on a public one."""
    routable = ipaddress.ip_address(address)
    monkeypatch.setattr(addresses, "is_globally_routable", lambda found: found == routable)


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_spelling_of_loopback_reaches_a_listener_there(host: str) -> None:
    async def test() -> None:
        fetcher = CountingFetcher()
        async with Receiver() as receiver:
            for scheme in ("http", "HTTPS"):
                await fetcher.refusal(f"{scheme}://{host}:{receiver.port}/a.png", 2)
            assert receiver.connections == 0

    run(test())


@pytest.mark.parametrize("host", CONNECTS)
def test_the_listener_would_be_reached(host: str) -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            address = f"http://{host}:{receiver.port}/a.png"
            assert await CountingFetcher(allow_private=True).fetch(address, 10) == PRIVATE_BODY
            assert receiver.connections == 1

    run(test())


@pytest.mark.parametrize("host", METADATA)
def test_the_metadata_of_a_cloud_is_not_asked_for(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_request(*_: Any) -> Any:
        raise AssertionError("a request was made")

    monkeypatch.setattr(addresses, "_send", no_request)

    async def test() -> None:
        error = await CountingFetcher().refusal(f"http://{host}/latest/meta-data/")
        assert error.outcome is Outcome.REFUSED

    run(test())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/secret",
        "HTTP://0x7f.2:{port}/secret",
        "//127.0.0.2:{port}/secret",
        "http://[::ffff:127.0.0.2]:{port}/secret",
        "http://user@127.0.0.2:{port}/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://127.0.0.2/",
    ],
)
def test_a_redirect_into_a_private_network_is_refused(
    status: int, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_public(monkeypatch)

    async def test() -> None:
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private:
            public.answer = redirects(status, location.format(port=public.port))
            error = await CountingFetcher().refusal(f"{public.url}?{status}")
            assert error.reason.startswith(("leads to a redirect whose URL ", "leads to a host whose answer "))
            assert (public.connections, private.connections) == (1, 0)

    run(test())


def test_a_name_in_a_redirect_is_resolved_and_checked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    a_public(monkeypatch)
    names = {"first.test": "127.0.0.1", "second.test": "127.0.0.2"}

    async def resolve(host: str, port: int) -> list[str]:
        return [names[host]]

    monkeypatch.setattr(addresses, "resolve", resolve)

    async def test() -> None:
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private:
            public.answer = redirects(302, f"http://second.test:{public.port}/secret")
            error = await CountingFetcher().refusal(f"http://first.test:{public.port}/")
            assert error.reason == "names a host that cannot be reached from here"
            assert (public.connections, private.connections) == (1, 0)

    run(test())


def test_a_name_that_means_another_address_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    a_public(monkeypatch)
    look_up, asked = socket.getaddrinfo, 0

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        nonlocal asked
        if host in ("rebinds.test", b"rebinds.test"):
            asked += 1
            host = "127.0.0.1" if asked == 1 else "127.0.0.2"
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    async def test() -> None:
        fetcher = CountingFetcher()
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private:
            assert await fetcher.fetch(f"http://rebinds.test:{public.port}/", 10) == PRIVATE_BODY
            assert asked == 1
            await fetcher.refusal(f"http://rebinds.test:{public.port}/other")
            # A redirect to itself is another connection, so the name is resolved and checked again.
            asked_before = asked
            public.answer = redirects(302, "/again")
            await fetcher.refusal(f"http://rebinds.test:{public.port}/third")
            assert asked > asked_before
            assert (public.connections, private.connections) == (1, 0)

    run(test())


@pytest.mark.parametrize("allow_private", [False, True])
def test_what_is_in_a_private_network_is_not_told(allow_private: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not there, a name of a host that may not be reached, and a port that refuses: one reason."""
    names = {"closed.test": ["127.0.0.3"], "inside.test": ["10.0.0.7"], "mixed.test": ["127.0.0.3", "8.8.8.8"]}

    async def resolve(host: str, port: int) -> list[str]:
        if host not in names:
            raise OSError("no such host")
        return names[host]

    async def unreachable(*_: Any) -> Any:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(addresses, "resolve", resolve)
    monkeypatch.setattr(addresses, "_send", unreachable)

    async def test() -> None:
        fetcher = CountingFetcher(allow_private=allow_private)
        errors = [await fetcher.refusal(f"http://{host}/") for host in (*names, "absent.test")]
        assert {(error.reason, error.outcome) for error in errors} == {
            ("names a host that cannot be reached from here", Outcome.FAILED)
        }
        # The operator's log does tell them apart.
        assert len({error.detail for error in errors}) > 1

    run(test())


ELSEWHERE: list[Answer] = [answers(404), answers(500), answers(204), answers(304, body=b"")]


@pytest.mark.parametrize("answer", ELSEWHERE)
def test_what_an_error_page_says_is_not_told(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver(answer) as receiver:
            error = await CountingFetcher(allow_private=True).refusal(receiver.url)
            assert error.reason.startswith("leads to a host that answers ")

    run(test())
