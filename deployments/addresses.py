"""HTTP requests to URLs that clients name: which URLs may be requested, and a connection to nothing else.

This server may reach hosts that its clients cannot. So a host's name is resolved once, every address that it resolves
to is checked, and the connection goes to a checked address: through no proxy but the operator's, which resolves names
itself, and without following redirects.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import httpx

from cosmos3_core.errors import CosmosError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Signed addresses of object stores hold tokens of some thousand characters.
MAX_URL_CHARACTERS = 8192
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
# If a name has more addresses, all are checked, and the rest are not tried.
MAX_ADDRESSES_TRIED = 4

_EXAMPLE = "a URL such as https://example.com/path"
_AUTHORITY = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w-]{1,63}(?:\.[\w-]{1,63})*\.?))(?::(?P<port>\d{1,5}))?", re.ASCII
)
# Every resolver reads a name that ends in a number as an IPv4 address, in whatever notation.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # Unknown to `ipaddress` of Python 3.11.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Its own threads: a client's slow name server must not block the threads that the rest of the process waits for.
_RESOLVERS = ThreadPoolExecutor(32, thread_name_prefix="resolver")
RESOLVE_SECONDS = 10.0
MAX_LOOKUPS_OF_DOMAIN = 4
"""Threads that names of one domain take: its name server decides how long."""
_LOOKUPS: Counter[str] = Counter()
_PAUSE_S = 0.02
# Under a country's domain, as in `co.uk`. No rule by length: each name of a short domain would have its own threads.
_SHARED_LABELS = frozenset({"ac", "co", "com", "edu", "gob", "gov", "ne", "net", "or", "org"})


class Unreachable(CosmosError):
    """A host that cannot be connected to, or may not be. The message quotes nothing that the host sent."""


@dataclass(frozen=True)
class Target:
    """A URL that may be requested, taken apart.

    Attributes:
        scheme: `http` or `https`.
        host: a name in lower case, or an address in its usual notation.
        port: the port.
        resource: the path and the query.
    """

    scheme: str
    host: str
    port: int
    resource: str

    @property
    def address(self) -> IpAddress | None:
        """The host as an address; None if it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def url(self) -> str:
        """The whole URL, with its port."""
        return self.at(self.host)

    @property
    def host_header(self) -> str:
        """The host, with the port unless it is the scheme's default."""
        return httpx.URL(self.url).netloc.decode("ascii")

    def at(self, host: str) -> str:
        """The URL with another host."""
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.resource}"


def check_url(url: str, allow_private: bool) -> Target:
    """Take a URL apart; refuse one that cannot or may not be requested, as far as that shows without a name server.

    Args:
        url: the URL.
        allow_private: whether hosts that are not on the public internet may be requested.

    Raises:
        ValueError: the rest of a sentence that starts with the field's name; it does not repeat the URL.
    """
    target = _read_url(url)
    if allow_private:
        return target
    name = target.host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        raise ValueError("names this server's own machine; expected a host of the public internet")
    if target.address is not None and not is_globally_routable(target.address):
        raise ValueError("names an address that is not globally routable; expected a host of the public internet")
    return target


def is_globally_routable(address: IpAddress) -> bool:
    """Whether an address is that of one host on the public internet; a wrapped IPv4 address is judged by itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    translated = _translated(address)
    if translated is not None:
        return is_globally_routable(translated)
    return address.is_global and address in _GLOBAL_UNICAST and address not in _DOCUMENTATION


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, the preferred one first.

    Raises:
        OSError: it has none, or they were not found in time.
    """
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await _looked_up(host, port)
    except TimeoutError:
        raise OSError(f"no address within {RESOLVE_SECONDS:g} s") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _looked_up(host: str, port: int) -> list[tuple[Any, ...]]:
    """What the system's resolver says of a host, in a thread of its own, of which no domain's names take many."""
    domain = _domain_of(host)
    while _LOOKUPS[domain] >= MAX_LOOKUPS_OF_DOMAIN:
        await asyncio.sleep(_PAUSE_S)
    # Counted until its thread is free, which is when the resolver gives up and not when nobody waits any more.
    _LOOKUPS[domain] += 1
    loop = asyncio.get_running_loop()
    future: Future[Any] = _RESOLVERS.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    future.add_done_callback(lambda _: _call_in(loop, partial(_end_lookup, domain)))
    return list(await asyncio.wrap_future(future))


def _domain_of(host: str) -> str:
    """The part of a name that one owner has, as far as that shows without a list of all registries."""
    labels = host.removesuffix(".").split(".")
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED_LABELS
    return ".".join(labels[-3 if shared else -2 :])


def _end_lookup(domain: str) -> None:
    _LOOKUPS[domain] -= 1
    if not _LOOKUPS[domain]:
        del _LOOKUPS[domain]


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        # The loop has ended, and nothing counts any more.
        function()


@asynccontextmanager
async def open_response(
    method: str,
    target: Target,
    *,
    allow_private: bool,
    timeout_s: float,
    headers: Mapping[str, str],
    content: bytes | None = None,
    proxy: str | None = None,
) -> AsyncIterator[httpx.Response]:
    """Send a request to the first checked address that accepts a connection; the answer's body is not read yet.

    Args:
        method: the HTTP method.
        target: the URL, as `check_url` returns it.
        allow_private: whether the host may resolve to addresses that are not on the public internet.
        timeout_s: time limit of each step; the addresses share it for connecting. It does not limit the whole request.
        headers: headers besides `host`.
        content: the request's body.
        proxy: URL of a proxy of the operator's, which then decides what the host's name means.

    Raises:
        Unreachable: the host has no address that may be connected to, or none accepts a connection.
        httpx.HTTPError, OSError: the connection broke.
    """
    # A proxy connects to names, so what they mean is not looked up here.
    addresses = [target.host] if proxy else await _checked_addresses(target, allow_private)
    # The addresses share the time, or one that drops packets would leave none for the next.
    timeout = httpx.Timeout(timeout_s, connect=timeout_s / max(1, len(addresses)))
    async with httpx.AsyncClient(
        verify=_tls(), trust_env=False, follow_redirects=False, timeout=timeout, proxy=proxy
    ) as client:
        send = partial(_send, client, method, target, headers, content)
        response = await _first_response(send, addresses)
        try:
            yield response
        finally:
            await response.aclose()


async def _checked_addresses(target: Target, allow_private: bool) -> list[str]:
    try:
        addresses = await resolve(target.host, target.port)
    except OSError:
        raise Unreachable("the host's name does not resolve") from None
    # One private address is enough to refuse a name: do not fall back to its other addresses.
    if not allow_private and not all(is_globally_routable(ipaddress.ip_address(address)) for address in addresses):
        raise Unreachable("the host's name resolves to an address that is not globally routable")
    return addresses[:MAX_ADDRESSES_TRIED]


async def _first_response(send: Callable[[str], Awaitable[httpx.Response]], addresses: list[str]) -> httpx.Response:
    failure = "the host's name does not resolve"
    for address in addresses:
        try:
            return await send(address)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            failure = f"could not connect: {str(error) or 'no answer in time'}"
    raise Unreachable(failure)


async def _send(
    client: httpx.AsyncClient,
    method: str,
    target: Target,
    headers: Mapping[str, str],
    content: bytes | None,
    address: str,
) -> httpx.Response:
    pinned = client.build_request(
        method,
        target.at(address),
        content=content,
        headers={**headers, "host": target.host_header},
        # The certificate must be for the name, although the connection goes to an address.
        extensions={"sni_hostname": target.host.removesuffix(".")},
    )
    try:
        return await client.send(pinned, stream=True)
    except httpx.InvalidURL:
        # A redirect to what is no URL: httpx reads it although it does not follow.
        raise httpx.RemoteProtocolError("the answer redirects to an invalid URL") from None


def _read_url(url: str) -> Target:
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"is longer than {MAX_URL_CHARACTERS} characters")
    if not url.isprintable():
        raise ValueError("has a character that cannot be printed; expected such characters percent-encoded")
    try:
        # A fragment is never sent. Blanks and letters of other alphabets are sent as browsers send them.
        parts = urlsplit(quote(url.partition("#")[0], safe=_PRINTABLE))
    except ValueError:
        raise ValueError(f"is not a valid URL; expected {_EXAMPLE}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"is not an http or https URL; expected {_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; expected a URL without them")
    return _target(parts)


def _target(parts: SplitResult) -> Target:
    # Not urlsplit's own host and port: it reads `[::1]anything` as `::1`.
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        raise ValueError(f"has no valid host and port; expected {_EXAMPLE}")
    port = int(authority["port"]) if authority["port"] else {"http": 80, "https": 443}[parts.scheme]
    if not 1 <= port <= 65535:
        raise ValueError("has a port that is not between 1 and 65535")
    host = _read_ipv6(authority["ipv6"]) if authority["ipv6"] else _read_name(authority["name"].lower())
    query = f"?{parts.query}" if parts.query else ""
    return Target(scheme=parts.scheme, host=host, port=port, resource=f"{parts.path or '/'}{query}")


def _read_ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("has an invalid IPv6 address for a host") from None


def _read_name(name: str) -> str:
    bare = name.removesuffix(".")
    if not _ENDS_IN_NUMBER.fullmatch(bare):
        return name
    try:
        # Read as resolvers read it: octal, hexadecimal, and fewer than four parts are allowed.
        return socket.inet_ntoa(socket.inet_aton(bare))
    except OSError:
        raise ValueError("has an invalid IPv4 address for a host") from None


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


@cache
def _tls() -> ssl.SSLContext:
    # Once per process, because it reads over a hundred certificates. It honours SSL_CERT_FILE and SSL_CERT_DIR.
    return httpx.create_ssl_context()
