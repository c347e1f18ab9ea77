"""Requests to URLs that clients name: which are refused, and where the connection goes, on loopback addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments import addresses
from deployments.addresses import Unreachable, check_url, open_response
from tests.http_receiver import PRIVATE_BODY, Receiver, redirects, resolves, run, talks_nonsense


async def requested(url: str, *, allow_private: bool = True) -> int:
    """The status of the answer to a request."""
    async with open_response(
        "POST", check_url(url, allow_private), allow_private=allow_private, timeout_s=10, headers={}, content=b"sent"
    ) as response:
        return response.status_code


async def refusal(url: str, *, allow_private: bool = True) -> str:
    """Why a request got no answer."""
    with pytest.raises(Unreachable) as caught:
        await requested(url, allow_private=allow_private)
    assert PRIVATE_BODY.decode() not in str(caught.value)
    return str(caught.value)


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
def test_hosts_that_may_be_requested(host: str, allow_private: bool) -> None:
    for url in (f"https://{host}", f"http://{host}:8080/a/b?c=d&e=%20", f"HTTPS://{host}?query"):
        check_url(url, allow_private)


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_hosts_that_may_be_requested_only_if_private_ones_are_allowed(host: str) -> None:
    for url in (f"http://{host}", f"https://{host}:8443/hook"):
        with pytest.raises(ValueError, match=r"^names (an address that is not globally|this server's own machine)"):
            check_url(url, False)
        check_url(url, True)


@pytest.mark.parametrize("host", PUBLIC_HOSTS + PRIVATE_HOSTS)
def test_a_number_is_read_as_the_resolver_reads_it(host: str) -> None:
    target = addresses._read_url(f"http://{host}/")
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
        (" https://example.com/", "is not an http or https URL"),
        ("https://exam ple.com/", "has no valid host"),
        ("https://example.com/\r\nx-header:1", "has a character"),
        ("https://exam\tple.com/", "has a character"),
        ("https://example.com/\x7f", "has a character"),
        ("https://bücher.example/", "has no valid host"),
        ("https://127。0。0。1/", "has no valid host"),
        ("https://①②⑦.0.0.1/", "has no valid host"),
        ("https://example.com/" + "a" * 8200, "is longer than 8192"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str, allow_private: bool) -> None:
    with pytest.raises(ValueError, match=f"^({reason})") as caught:
        check_url(url, allow_private)
    said = str(caught.value).replace("https://example.com/path", "")
    assert not url or url not in said


def test_the_longest_url() -> None:
    check_url("https://example.com/" + "a" * 8000, False)


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://example.com/a.png#part", "/a.png"),
        ("https://example.com/#", "/"),
        ("https://example.com/a b.png", "/a%20b.png"),
        ("https://example.com/a%20b.png?x=%2F#y", "/a%20b.png?x=%2F"),
        ("https://example.com/Käfer.png?q=ä", "/K%C3%A4fer.png?q=%C3%A4"),
    ],
)
def test_urls_are_sent_as_browsers_send_them(url: str, resource: str) -> None:
    assert addresses._read_url(url).resource == resource


@given(st.lists(st.sampled_from([*"a1.:/?#@[]%\\-_~!$&'()*+,;=\"<>^`{|}", "http", "//", "::", "0x", "..", "%00"])))
@example([":80//..//a?b?[%zz"])
def test_whatever_is_accepted_can_be_sent_to_an_address(pieces: list[str]) -> None:
    url = "http://a" + "".join(pieces)
    try:
        check_url(url, True)
    except ValueError:
        return
    target = addresses._read_url(url)
    pinned = httpx.URL(target.at("192.0.2.7"))
    assert (pinned.scheme, pinned.host, pinned.userinfo, pinned.fragment) == ("http", "192.0.2.7", b"", "")
    assert httpx.Request("POST", pinned, headers={"host": target.host_header}).headers["host"] == target.host_header


def test_the_connection_goes_to_the_address_and_the_header_names_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            assert await requested(f"http://Hook.test:{receiver.port}/hook") == 200
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
    assert addresses._read_url(url).host_header == header


@pytest.mark.parametrize(
    "found",
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
def test_a_name_with_a_private_address_is_not_connected_to(found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, *found)

    async def no_connection(*arguments: Any) -> httpx.Response:
        raise AssertionError(f"connects to {arguments[-1]}")

    monkeypatch.setattr(addresses, "_send", no_connection)

    async def test() -> None:
        reason = await refusal("http://hook.test/hook", allow_private=False)
        assert "resolves to an address that is not globally routable" in reason
        with pytest.raises(AssertionError, match="connects to"):
            await requested("http://hook.test/hook", allow_private=True)

    run(test())


def test_a_name_that_resolves_differently_the_second_time_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("hook.test", b"hook.test"):
            asked.append("hook.test")
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    # The first stands for a public address, which no test can listen on.
    monkeypatch.setattr(addresses, "is_globally_routable", lambda address: str(address) == "127.0.0.1")

    async def test() -> None:
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private:
            url = f"http://hook.test:{public.port}/hook"
            assert await requested(url, allow_private=False) == 200
            assert (public.connections, private.connections) == (1, 0)
            assert asked == ["hook.test"]
            assert "not globally routable" in await refusal(url, allow_private=False)
        assert (public.connections, private.connections) == (1, 0)

    run(test())


def test_the_next_address_is_tried_if_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.2", "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            assert await requested(f"http://hook.test:{receiver.port}/hook") == 200
        assert len(receiver.received) == 1

    run(test())


def test_what_was_sent_is_not_sent_to_a_second_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1", "127.0.0.2")

    async def test() -> None:
        async with Receiver(talks_nonsense) as first, Receiver(address="127.0.0.2", port=first.port) as second:
            with pytest.raises(httpx.RemoteProtocolError):
                await requested(f"http://hook.test:{first.port}/hook")
        assert (first.connections, second.connections) == (1, 0)

    run(test())


@pytest.mark.parametrize("location", ["data:image/png;base64,AAAA", "http://[::1", "https://a:b"])
def test_a_redirect_to_no_url_is_a_broken_answer(location: str) -> None:
    async def test() -> None:
        async with Receiver(redirects(302, location)) as receiver:
            with pytest.raises(httpx.RemoteProtocolError):
                await requested(receiver.url)

    run(test())


def test_names_are_resolved_by_the_system() -> None:
    async def test() -> None:
        assert set(await addresses.resolve("localhost", 80)) & {"127.0.0.1", "::1"}
        assert await addresses.resolve("127.0.0.1", 80) == ["127.0.0.1"]

    run(test())


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with Receiver() as proxy, Receiver() as receiver:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            assert await requested(receiver.url) == 200
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
    addresses._tls.cache_clear()
    yield files
    addresses._tls.cache_clear()


def test_a_certificate_must_be_for_the_name(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1")
    asked: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    tls.sni_callback = lambda _, name, __: asked.append(name)

    async def test() -> None:
        async with Receiver(tls=tls) as receiver:
            assert await requested(f"https://hook.test:{receiver.port}/hook") == 200
            assert await requested(f"https://hook.test.:{receiver.port}/hook") == 200
            assert asked == ["hook.test", "hook.test"]
            for host in ("other.test", "127.0.0.1"):
                reason = await refusal(f"https://{host}:{receiver.port}/hook")
                assert reason.startswith("could not connect") and "certificate" in reason
        assert len(receiver.received) == 2

    run(test())


def test_an_unknown_certificate_is_refused(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    resolves(monkeypatch, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)

    async def test() -> None:
        async with Receiver(tls=tls) as receiver:
            assert "certificate" in await refusal(f"https://hook.test:{receiver.port}/hook")
        assert not receiver.received

    run(test())


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.com.", "example.com"),
        ("example.com", "example.com"),
        ("a.one.co.uk", "one.co.uk"),
        ("two.co.uk", "two.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.com.au", "b.com.au"),
        # Short, and somebody's own.
        ("a.abc.com", "abc.com"),
        ("a.abc.de", "abc.de"),
        ("localhost", "localhost"),
    ],
)
def test_the_domain_whose_name_server_is_asked(host: str, domain: str) -> None:
    assert addresses._domain_of(host) == domain


def test_names_of_one_domain_do_not_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(host: str, port: int, **_: Any) -> list[Any]:
        if host.endswith("slow.example"):
            release.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 2.0)

    async def test() -> None:
        hanging = [asyncio.create_task(addresses.resolve(f"n{number}.slow.example", 80)) for number in range(100)]
        await asyncio.sleep(0.1)
        assert addresses._LOOKUPS["slow.example"] == addresses.MAX_LOOKUPS_OF_DOMAIN
        async with asyncio.timeout(1):
            assert await addresses.resolve("quick.example.org", 80) == ["192.0.2.1"]
        found = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(each, OSError) for each in found)
        # The threads are still held, and are counted until they are not.
        assert addresses._LOOKUPS["slow.example"] == addresses.MAX_LOOKUPS_OF_DOMAIN
        release.set()
        async with asyncio.timeout(5):
            while addresses._LOOKUPS:
                await asyncio.sleep(0.01)
            assert await addresses.resolve("n.slow.example", 80) == ["192.0.2.1"]

    try:
        asyncio.run(asyncio.wait_for(test(), 30))
    finally:
        release.set()
