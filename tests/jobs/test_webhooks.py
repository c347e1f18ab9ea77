"""Webhooks: verified by OpenAI's own SDK, and delivered to real servers on loopback addresses."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import pickle
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.jobs import webhooks
from deployments.jobs.webhooks import (
    DeliveryError,
    check_url,
    delay_before,
    deliver,
    event_body,
    event_id,
    signed_headers,
)

PREFIXED = "whsec_" + base64.b64encode(bytes(range(200, 232))).decode()
PLAIN = "a secret – with a dash"
BODY = event_body("video_1", "video.completed", 1_700_000_000)
PRIVATE_BODY = b"the receiver's own words"
TIMEOUT_S = 10.0

Answer = Callable[[asyncio.StreamWriter, asyncio.Event], Awaitable[None]]


def answers(status: int, *headers: str, body: bytes = PRIVATE_BODY) -> Answer:
    async def write(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
        head = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    return write


async def hangs(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    await closing.wait()


async def dribbles(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """Answers, but so that no single read takes long and the head never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nx-long: ")
    while not closing.is_set() and not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def never_ends(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    """Accepts at once, with a body that never comes to its end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
    await closing.wait()


async def talks_nonsense(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
    writer.write(PRIVATE_BODY + b"\r\n\r\n")


@dataclass
class Received:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that answers every request alike."""

    answer: Answer = field(default_factory=lambda: answers(200))
    address: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Receiver:
        self._closing = asyncio.Event()
        self._server = await asyncio.start_server(self._handle, self.address, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.close()
        await asyncio.gather(*self._handlers)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/hook"

    def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._handlers.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            self.received.append(Received(line, headers, await reader.readexactly(int(headers["content-length"]))))
            await self.answer(writer, self._closing)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # Gone in the middle of it; what matters is what `received` says.
        finally:
            writer.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


async def attempt(
    url: str, *, allow_private: bool = True, timeout_s: float = TIMEOUT_S, secret: str = PREFIXED
) -> DeliveryError | None:
    """What one attempt came to: None where it was delivered."""
    try:
        await deliver(url, secret, "evt_video_1", BODY, allow_private=allow_private, timeout_s=timeout_s)
    except DeliveryError as error:
        return error
    return None


async def refusal(url: str, *, allow_private: bool = True, timeout_s: float = TIMEOUT_S) -> DeliveryError:
    error = await attempt(url, allow_private=allow_private, timeout_s=timeout_s)
    assert error is not None, "delivered"
    assert str(error) == error.reason
    assert PRIVATE_BODY.decode() not in error.reason
    return error


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[tuple[str, int]]:
    """Let every name resolve to these; returns what was asked for."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return list(addresses)

    monkeypatch.setattr(webhooks, "resolve", resolve)
    return asked


# The event and its signature.


def verify(body: bytes, headers: dict[str, str], secret: str) -> None:
    with openai.OpenAI(api_key="none") as client:
        client.webhooks.verify_signature(body, headers, secret=secret)


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
@pytest.mark.parametrize("kind", ["video.completed", "video.failed"])
def test_openais_sdk_unwraps_the_event(secret: str, kind: webhooks.EventType) -> None:
    body = event_body("video_7", kind, 1_700_000_000)
    headers = signed_headers(secret, event_id("video_7"), int(time.time()), body)
    with openai.OpenAI(api_key="none") as client:
        event: Any = client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.id, event.object, event.created_at) == ("evt_video_7", "event", 1_700_000_000)
    assert event.type == kind
    assert json.loads(body)["data"] == {"id": "video_7"}
    assert headers["webhook-id"] == "evt_video_7"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
def test_openais_sdk_refuses_what_was_changed(secret: str) -> None:
    now = int(time.time())
    headers = signed_headers(secret, "evt_1", now, BODY)
    verify(BODY, headers, secret)
    changes: list[tuple[bytes, dict[str, str], str]] = [
        (BODY.replace(b"video_1", b"video_2"), headers, secret),
        (BODY, {**headers, "webhook-id": "evt_2"}, secret),
        (BODY, {**headers, "webhook-timestamp": str(now - 1)}, secret),
        (BODY, signed_headers(secret, "evt_1", now - 3600, BODY), secret),
        (BODY, headers, PLAIN if secret == PREFIXED else PREFIXED),
    ]
    for body, changed, key in changes:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            verify(body, changed, key)


def test_a_job_has_one_event_whose_signature_is_fresh() -> None:
    assert event_body("video_1", "video.completed", 1_700_000_000) == BODY
    first, second = (signed_headers(PREFIXED, event_id("video_1"), at, BODY) for at in (1000, 1001))
    assert first["webhook-id"] == second["webhook-id"] == json.loads(BODY)["id"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_abc", "whsec_ab-_", "whsec_aGFsbG8= "])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^is (empty|not valid base64)"):
        webhooks.signing_key(secret)


def test_delays_grow_to_an_hour_and_end() -> None:
    assert [delay_before(attempt) for attempt in range(1, 11)] == [0, 5, 20, 80, 320, 1280, 3600, 3600, None, None]


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DeliveryError("answered 410", final=True)))
    assert (error.reason, error.final, str(error)) == ("answered 410", True, "answered 410")


# The URL.

PUBLIC_HOSTS = [
    "example.com",
    "EXAMPLE.com.",
    "a_b.example.com",
    "xn--bcher-kva.example",
    "localhost.example.com",
    "notlocalhost",
    "8.8.8.8",
    "134744072",  # 8.8.8.8
    "0x08.010.8.8",
    "[2001:4860:4860::8888]",
    "[::ffff:8.8.8.8]",
    "[64:ff9b::8.8.8.8]",
    "[2002:808:808::1]",
]
PRIVATE_HOSTS = [
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "a.b.LOCALHOST.",
    "127.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "2130706433",
    "2130706433.",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "127.1",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "012.1",
    "172.16.0.1",
    "192.168.1.1",
    "3232235777",
    "169.254.169.254",
    "0xa9fea9fe",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::7f00:1]",  # IPv4-compatible
    "[::8.8.8.8]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::8.8.8.8]",  # local-use NAT64
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2001::1]",  # Teredo
    "[2001:db8::1]",
    "[3fff::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[4000::1]",
]


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("host", PUBLIC_HOSTS)
def test_hosts_that_are_called(host: str, allow_private: bool) -> None:
    for url in (f"https://{host}", f"http://{host}:8080/a/b?c=d&e=%20", f"HTTPS://{host}?query"):
        check_url(url, allow_private)


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_hosts_that_are_called_only_where_private_ones_are_allowed(host: str) -> None:
    for url in (f"http://{host}", f"https://{host}:8443/hook"):
        with pytest.raises(ValueError, match=r"^names (an address that is not globally|this server's own machine)"):
            check_url(url, False)
        check_url(url, True)


@pytest.mark.parametrize("host", PUBLIC_HOSTS + PRIVATE_HOSTS)
def test_a_number_is_read_as_the_resolver_reads_it(host: str) -> None:
    target = webhooks._read_url(f"http://{host}/")
    if target.address is None:
        return
    numeric = host.strip("[]").removesuffix(".")
    found = socket.getaddrinfo(numeric, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    assert target.address == ipaddress.ip_address(found[0][4][0])


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is not an http or https URL"),
        ("example.com/hook", "is not an http or https URL"),
        ("//example.com/hook", "is not an http or https URL"),
        ("ftp://example.com/", "is not an http or https URL"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("javascript:alert(1)", "is not an http or https URL"),
        ("https:", "has no valid host"),
        ("https:example.com", "has no valid host"),
        ("https:/example.com", "has no valid host"),
        ("https://", "has no valid host"),
        ("https:///hook", "has no valid host"),
        ("https://?q", "has no valid host"),
        ("https://:443/", "has no valid host"),
        ("https://a..b/", "has no valid host"),
        ("https://.a/", "has no valid host"),
        ("https://a%2eb/", "has no valid host"),
        ("https://a\\b/", "has no valid host"),
        ("https://a,b/", "has no valid host"),
        ("https://" + "a" * 64 + ".com/", "has no valid host"),
        ("https://[::1]x/", "has no valid host"),
        ("https://[fe80::1%25eth0]/", "has no valid host"),
        ("https://example.com:/", "has no valid host"),
        ("https://example.com:x/", "has no valid host"),
        ("https://example.com:-1/", "has no valid host"),
        ("https://example.com:1:2/", "has no valid host"),
        ("https://[::1/", "is not a valid URL"),
        ("https://[:::1]/", "is not a valid URL|has an invalid IPv6 address"),
        ("https://[1.2.3.4]/", "is not a valid URL|has an invalid IPv6 address"),
        ("https://example.com:0/", "has a port"),
        ("https://example.com:65536/", "has a port"),
        ("https://256.0.0.1/", "has an invalid IPv4 address"),
        ("https://08.8.8.8/", "has an invalid IPv4 address"),
        ("https://4294967296/", "has an invalid IPv4 address"),
        ("https://a.1/", "has an invalid IPv4 address"),
        ("https://0x/", "has an invalid IPv4 address"),
        ("https://user@example.com/", "has a user name or password"),
        ("https://user:word@example.com/", "has a user name or password"),
        ("https://@example.com/", "has a user name or password"),
        ("https://example.com\\@127.0.0.1/", "has a user name or password"),
        ("https://example.com/#part", "has a fragment"),
        ("https://example.com/#", "has a fragment"),
        ("https://example.com/a b", "has a character"),
        (" https://example.com/", "has a character"),
        ("https://example.com/\r\nx-header:1", "has a character"),
        ("https://exam\tple.com/", "has a character"),
        ("https://example.com/\x7f", "has a character"),
        ("https://bücher.example/", "has a character"),
        ("https://127。0。0。1/", "has a character"),
        ("https://①②⑦.0.0.1/", "has a character"),
        ("https://example.com/" + "a" * 2029, "is longer than 2048"),
    ],
)
def test_urls_that_are_none(url: str, reason: str, allow_private: bool) -> None:
    with pytest.raises(ValueError, match=f"^({reason})") as caught:
        check_url(url, allow_private)
    said = str(caught.value).replace("https://example.com/hook", "")
    assert not url or url not in said


def test_the_longest_url() -> None:
    check_url("https://example.com/" + "a" * 2028, False)


@given(st.lists(st.sampled_from([*"a1.:/?#@[]%\\-_~!$&'()*+,;=\"<>^`{|}", "http", "//", "::", "0x", "..", "%00"])))
@example([":80//..//a?b?[%zz"])
def test_whatever_is_accepted_can_be_sent_to_an_address(pieces: list[str]) -> None:
    url = "http://a" + "".join(pieces)
    try:
        check_url(url, True)
    except ValueError:
        return
    target = webhooks._read_url(url)
    pinned = httpx.URL(target.at("192.0.2.7"))
    assert (pinned.scheme, pinned.host, pinned.userinfo, pinned.fragment) == ("http", "192.0.2.7", b"", "")
    assert httpx.Request("POST", pinned, headers={"host": target.host_header}).headers["host"] == target.host_header


# Delivery.


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
def test_an_event_arrives_and_verifies(secret: str) -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            assert await attempt(f"{receiver.url}?a=b", secret=secret) is None
        (received,) = receiver.received
        assert received.line == "POST /hook?a=b HTTP/1.1"
        assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert received.headers["content-type"] == "application/json"
        assert received.body == BODY
        verify(received.body, received.headers, secret)

    run(test())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_answers_that_accept(status: int) -> None:
    async def test() -> None:
        async with Receiver(answers(status, body=b"")) as receiver:
            assert await attempt(receiver.url) is None
        assert receiver.connections == 1

    run(test())


@pytest.mark.parametrize(("status", "final"), [(304, False), (400, False), (404, False), (410, True), (500, False)])
def test_answers_that_do_not(status: int, final: bool) -> None:
    async def test() -> None:
        async with Receiver(answers(status, body=b"" if status == 304 else PRIVATE_BODY)) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == (f"answered {status}", final)

    run(test())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    async def test() -> None:
        async with Receiver() as other, Receiver(answers(status, f"location: {other.url}")) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == (f"answered {status}", False)
        assert (receiver.connections, other.connections) == (1, 0)

    run(test())


@pytest.mark.parametrize("answer", [hangs, dribbles])
def test_a_receiver_that_takes_too_long(answer: Answer) -> None:
    async def test() -> None:
        async with Receiver(answer) as receiver:
            begun = time.monotonic()
            error = await refusal(receiver.url, timeout_s=0.4)
            assert time.monotonic() - begun < 5
        assert (error.reason, error.final) == ("no answer within 0.4 s", False)
        assert len(receiver.received) == 1

    run(test())


def test_a_name_server_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(webhooks, "resolve", resolve)

    async def test() -> None:
        assert (await refusal("http://hook.test/", timeout_s=0.1)).reason == "no answer within 0.1 s"

    run(test())


def test_a_body_without_end_is_not_waited_for() -> None:
    async def test() -> None:
        async with Receiver(never_ends) as receiver:
            begun = time.monotonic()
            assert await attempt(receiver.url) is None
            assert time.monotonic() - begun < TIMEOUT_S / 2

    run(test())


def test_a_receiver_that_speaks_no_http() -> None:
    async def test() -> None:
        async with Receiver(talks_nonsense) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == ("the connection broke (RemoteProtocolError)", False)

    run(test())


def test_nobody_there() -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            pass
        error = await refusal(receiver.url)
        assert error.reason.startswith("could not connect") and not error.final

    run(test())


def test_a_cancel_gets_through() -> None:
    async def test() -> None:
        async with Receiver(hangs) as receiver:
            task = asyncio.create_task(attempt(receiver.url))
            while not receiver.received:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(test())


def test_a_bad_secret_is_no_crash() -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            error = await attempt(receiver.url, secret="whsec_no base64")
        assert error is not None and error.reason == "the secret is not valid base64 after whsec_"
        assert receiver.connections == 0

    run(test())


# Where the connection goes.


def test_the_connection_goes_to_the_address_and_the_header_names_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            assert await attempt(f"http://Hook.test:{receiver.port}/hook") is None
        assert receiver.received[0].headers["host"] == f"hook.test:{receiver.port}"
        assert asked == [("hook.test", receiver.port)]

    run(test())


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://a.test", "a.test"),
        ("http://a.test:80/", "a.test"),
        ("https://a.test:443/", "a.test"),
        ("https://a.test:80/", "a.test:80"),
        ("http://[2001:DB8::1]:81/", "[2001:db8::1]:81"),
        ("http://0x7f.1/", "127.0.0.1"),
    ],
)
def test_the_host_header(url: str, header: str) -> None:
    assert webhooks._read_url(url).host_header == header


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "127.0.0.1"],
        ["8.8.8.8"] * 10 + ["127.0.0.1"],
        ["::1", "127.0.0.1"],
        ["fe80::1%1", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
    ],
)
def test_a_name_with_a_private_address_is_not_connected_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves(monkeypatch, *addresses)

    async def no_connection(*args: Any) -> int:
        raise AssertionError(f"connects to {args[1]}")

    monkeypatch.setattr(webhooks, "_post", no_connection)

    async def test() -> None:
        error = await refusal("http://hook.test/hook", allow_private=False)
        assert "resolves to an address that is not globally routable" in error.reason
        with pytest.raises(AssertionError, match="connects to"):
            await attempt("http://hook.test/hook", allow_private=True)

    run(test())


def test_nothing_connects_to_a_receiver_on_this_machine_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            url = f"http://hook.test:{receiver.port}/hook"
            await refusal(url, allow_private=False)
            error = await refusal(receiver.url, allow_private=False)
            assert error.final and error.reason.startswith("the URL names an address")
            assert receiver.connections == 0
            assert await attempt(url) is None
        assert receiver.connections == 1

    run(test())


def test_a_name_that_is_bound_anew_does_not_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("hook.test", b"hook.test"):
            asked.append("hook.test")
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    # The first stands for a public address, which no test can listen on.
    monkeypatch.setattr(webhooks, "is_globally_routable", lambda address: str(address) == "127.0.0.1")

    async def test() -> None:
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private:
            url = f"http://hook.test:{public.port}/hook"
            assert await attempt(url, allow_private=False) is None
            assert (public.connections, private.connections) == (1, 0)
            assert asked == ["hook.test"]
            error = await refusal(url, allow_private=False)
            assert "not globally routable" in error.reason
        assert (public.connections, private.connections) == (1, 0)

    run(test())


def test_the_next_address_is_tried_where_the_first_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.2", "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            assert await attempt(f"http://hook.test:{receiver.port}/hook") is None
        assert len(receiver.received) == 1

    run(test())


def test_what_was_sent_is_not_sent_to_a_second_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1", "127.0.0.2")

    async def test() -> None:
        async with Receiver(talks_nonsense) as first, Receiver(address="127.0.0.2", port=first.port) as second:
            await refusal(f"http://hook.test:{first.port}/hook")
        assert (first.connections, second.connections) == (1, 0)

    run(test())


def test_names_resolve_by_the_system() -> None:
    async def test() -> None:
        assert set(await webhooks.resolve("localhost", 80)) & {"127.0.0.1", "::1"}
        assert await webhooks.resolve("127.0.0.1", 80) == ["127.0.0.1"]

    run(test())


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)

    async def test() -> None:
        error = await refusal("https://hook.test/")
        assert (error.reason, error.final) == ("the host's name does not resolve", False)

    run(test())


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with Receiver() as proxy, Receiver() as receiver:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            assert await attempt(receiver.url) is None
        assert (proxy.connections, receiver.connections) == (0, 1)

    run(test())


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A certificate for `hook.test` that this process trusts: its file and its key's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=hook.test"
    names = ["-addext", "subjectAltName=DNS:hook.test", "-addext", "keyUsage=digitalSignature,keyCertSign"]
    out = ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([openssl, *make.split(), *names, *out], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    webhooks._tls.cache_clear()
    yield files
    webhooks._tls.cache_clear()


def test_a_certificate_must_be_for_the_name(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1")
    asked: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    tls.sni_callback = lambda _, name, __: asked.append(name)

    async def test() -> None:
        async with Receiver(tls=tls) as receiver:
            assert await attempt(f"https://hook.test:{receiver.port}/hook") is None
            assert await attempt(f"https://hook.test.:{receiver.port}/hook") is None
            assert asked == ["hook.test", "hook.test"]
            for host in ("other.test", "127.0.0.1"):
                error = await refusal(f"https://{host}:{receiver.port}/hook")
                assert error.reason.startswith("could not connect") and "certificate" in error.reason
                assert not error.final
        assert len(receiver.received) == 2

    run(test())


def test_an_unknown_certificate_is_refused(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    resolves(monkeypatch, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)

    async def test() -> None:
        async with Receiver(tls=tls) as receiver:
            error = await refusal(f"https://hook.test:{receiver.port}/hook")
        assert "certificate" in error.reason
        assert not receiver.received

    run(test())
