"""Webhooks: the event that tells of a job's end, its signature, the check of a URL, and one attempt to deliver.

The format is the one that OpenAI's SDK verifies, Standard Webhooks. What is delivered when, and where deliveries are
kept, is not decided here.

The URL comes from a client, and this server may reach what the client cannot. A name therefore is resolved once, what
it resolves to is checked, and the connection goes to the checked address and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import httpx

from cosmos3_core.errors import CosmosError

EventType = Literal["video.completed", "video.failed"]
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ATTEMPTS = 8
FIRST_DELAY_S = 5.0
DELAY_GROWTH = 4.0
MAX_DELAY_S = 3600.0
MAX_URL_CHARACTERS = 2048
# Of a name with more addresses than these, the rest is checked and not tried.
MAX_ADDRESSES_TRIED = 4

_SECRET_PREFIX = "whsec_"
_EXAMPLE = "a URL such as https://example.com/hook"
_AUTHORITY = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w-]{1,63}(?:\.[\w-]{1,63})*\.?))(?::(?P<port>\d{1,5}))?", re.ASCII
)
# A name that ends in a number is an IPv4 address to every resolver, however it is spelt.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # `ipaddress` of Python 3.11 does not know it yet.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Threads of their own: a client's slow name server must not hold those that everything else in the process waits for.
_RESOLVERS = ThreadPoolExecutor(32, thread_name_prefix="webhook-resolver")


class DeliveryError(CosmosError):
    """An attempt that did not deliver.

    Attributes:
        reason: what happened; nothing of what the receiver sent is in it but the status code.
        final: whether a further attempt is pointless.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


@dataclass(frozen=True)
class _Target:
    """A URL taken apart: a name in lower case, or an address in its usual spelling."""

    scheme: str
    host: str
    port: int
    resource: str

    @property
    def address(self) -> IpAddress | None:
        """The address, where the host is none but that."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def at(self, host: str) -> str:
        """The URL with another host."""
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.resource}"

    @property
    def host_header(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        return httpx.URL(self.at(self.host)).netloc.decode("ascii")


def event_id(job_id: str) -> str:
    """The same for every attempt of a job, so that a receiver can drop what it has already."""
    return f"evt_{job_id}"


def event_body(job_id: str, event_type: EventType, created_at: int) -> bytes:
    """The event as JSON; `created_at` is when the job ended, in unix seconds, so that all attempts send the same."""
    event = {
        "id": event_id(job_id),
        "object": "event",
        "created_at": created_at,
        "type": event_type,
        "data": {"id": job_id},
    }
    return json.dumps(event).encode()


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: `whsec_<base64>`, or any other text as it is.

    Raises:
        ValueError: the rest of a sentence that begins with the secret's name.
    """
    if not secret.startswith(_SECRET_PREFIX):
        key = secret.encode()
    else:
        try:
            # Strict, because the SDK skips unknown characters where other receivers refuse them.
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"is not valid base64 after {_SECRET_PREFIX}") from None
    if not key:
        raise ValueError("is empty")
    return key


def signed_headers(secret: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that let a receiver verify the body; see `signing_key` for what a secret is."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode("ascii")
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def delay_before(attempt: int) -> float | None:
    """Seconds to wait before an attempt, counted from 1, which is made at once; None where there shall be no more."""
    if attempt > MAX_ATTEMPTS:
        return None
    if attempt <= 1:
        return 0.0
    return min(FIRST_DELAY_S * DELAY_GROWTH ** (attempt - 2), MAX_DELAY_S)


def check_url(url: str, allow_private: bool) -> None:
    """Refuse a URL that no event can or may be sent to, as far as that shows without asking a name server.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name. What was sent is not repeated in it.
    """
    _checked_target(url, allow_private)


def is_globally_routable(address: IpAddress) -> bool:
    """Whether an address is a single host's on the public internet; one that wraps an IPv4 address is what that is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    translated = _translated(address)
    if translated is not None:
        return is_globally_routable(translated)
    return address.is_global and address in _GLOBAL_UNICAST and address not in _DOCUMENTATION


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, the preferred one first.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_RESOLVERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def deliver(url: str, secret: str, event_id: str, body: bytes, *, allow_private: bool, timeout_s: float) -> None:
    """Make one attempt: signed now, sent to an address that was checked, redirected by nobody.

    Raises:
        DeliveryError: anything but an answer of 2xx within the time.
    """
    try:
        target = _checked_target(url, allow_private)
    except ValueError as error:
        raise DeliveryError(f"the URL {error}", final=True) from None
    try:
        headers = signed_headers(secret, event_id, int(time.time()), body)
    except ValueError as error:
        raise DeliveryError(f"the secret {error}") from None
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _checked_addresses(target, allow_private)
            status = await _post_to_first(target, addresses, headers, body, timeout_s)
    except TimeoutError:
        raise DeliveryError(f"no answer within {timeout_s:g} s") from None
    if not 200 <= status < 300:
        raise DeliveryError(f"answered {status}", final=status == 410)


def _checked_target(url: str, allow_private: bool) -> _Target:
    target = _read_url(url)
    if allow_private:
        return target
    name = target.host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        raise ValueError("names this server's own machine; expected a host of the public internet")
    if target.address is not None and not is_globally_routable(target.address):
        raise ValueError("names an address that is not globally routable; expected a host of the public internet")
    return target


def _read_url(url: str) -> _Target:
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"is longer than {MAX_URL_CHARACTERS} characters")
    if not all("!" <= character <= "~" for character in url):
        raise ValueError("has a character that is not printable ASCII; expected others percent-encoded or in punycode")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"is not a valid URL; expected {_EXAMPLE}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"is not an http or https URL; expected {_EXAMPLE}")
    if "#" in url:
        raise ValueError("has a fragment, which is never sent; expected a URL without #")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; expected a URL without them")
    return _target(parts)


def _target(parts: SplitResult) -> _Target:
    # Not urlsplit's own reading of it, which takes `[::1]anything` for `::1`.
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        raise ValueError(f"has no valid host and port; expected {_EXAMPLE}")
    port = int(authority["port"]) if authority["port"] else {"http": 80, "https": 443}[parts.scheme]
    if not 1 <= port <= 65535:
        raise ValueError("has a port that is not between 1 and 65535")
    host = _read_ipv6(authority["ipv6"]) if authority["ipv6"] else _read_name(authority["name"].lower())
    query = f"?{parts.query}" if parts.query else ""
    return _Target(parts.scheme, host, port, f"{parts.path or '/'}{query}")


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
        # What resolvers read numbers with: octal, hexadecimal, and fewer than four parts.
        return socket.inet_ntoa(socket.inet_aton(bare))
    except OSError:
        raise ValueError("has an invalid IPv4 address for a host") from None


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


async def _checked_addresses(target: _Target, allow_private: bool) -> list[str]:
    try:
        addresses = await resolve(target.host, target.port)
    except OSError:
        raise DeliveryError("the host's name does not resolve") from None
    # A name that has a private address among its own is no mistake to work around.
    if not allow_private and not all(is_globally_routable(ipaddress.ip_address(address)) for address in addresses):
        raise DeliveryError("the host's name resolves to an address that is not globally routable")
    return addresses[:MAX_ADDRESSES_TRIED]


async def _post_to_first(
    target: _Target, addresses: list[str], headers: dict[str, str], body: bytes, timeout_s: float
) -> int:
    """The status that the first address which can be connected to answers with."""
    failure = "the host's name does not resolve"
    # Each gets its share, or one that swallows packets would leave no time for the next.
    timeout = httpx.Timeout(timeout_s, connect=timeout_s / max(1, len(addresses)))
    for address in addresses:
        try:
            return await _post(target, address, headers, body, timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = f"could not connect: {str(error) or 'no answer in time'}"
        except (httpx.HTTPError, OSError) as error:
            # Not the error's text, which may quote what came.
            raise DeliveryError(f"the connection broke ({type(error).__name__})") from None
    raise DeliveryError(failure)


async def _post(target: _Target, address: str, headers: dict[str, str], body: bytes, timeout: httpx.Timeout) -> int:
    async with (
        httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=timeout) as client,
        client.stream(
            "POST",
            target.at(address),
            content=body,
            headers={**headers, "host": target.host_header, "user-agent": "cosmos3-webhooks"},
            # The certificate must be for the name, though the connection goes to an address.
            extensions={"sni_hostname": target.host.removesuffix(".")},
        ) as response,
    ):
        # The rest of the answer is not read: a receiver cannot make this server hold or wait for any of it.
        return response.status_code


@cache
def _tls() -> ssl.SSLContext:
    # Once per process, since it reads some hundred certificates. SSL_CERT_FILE and SSL_CERT_DIR are honoured.
    return httpx.create_ssl_context()
