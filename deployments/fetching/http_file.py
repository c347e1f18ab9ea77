"""Fetches one file over HTTP: each redirect is checked like the address itself, and what is sent says nothing of us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urldefrag, urljoin

import httpx

from deployments.addresses import Target, Unreachable, open_response
from deployments.fetching.bounded_body import read_body
from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.policy import AddressPolicy

# No compression: media are compressed already, and a bound on bytes is simplest where none is.
HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "cosmos3-media"}
_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_KEPT = frozenset({"no-store", "no-cache", "private"})
_AGES = ("max-age", "s-maxage")


@dataclass(frozen=True)
class HttpFile:
    """A file that an address led to, and whether its host lets others have it for a while."""

    content: bytes
    may_be_kept: bool


@dataclass(frozen=True)
class _Redirect:
    """Where a host says that the file is, and whether it lets others keep that for a while."""

    location: str
    may_be_kept: bool


@dataclass(frozen=True)
class Limits:
    """How one file is fetched; see `FetchSettings`."""

    redirects: int
    max_bytes: int
    timeout_s: float
    proxy: str | None


async def fetch_http(target: Target, policy: AddressPolicy, limits: Limits, take: Callable[[int], None]) -> HttpFile:
    """The file at a URL.

    Args:
        target: the URL, as the policy returns it.
        policy: which URLs may be fetched, which a redirect might lead away from.
        limits: bounds; the caller bounds the time of the whole.
        take: called with the number of bytes before they are kept; it may refuse them.

    Raises:
        FetchError: it cannot or may not be fetched, or it is too large.
    """
    may_be_kept = True
    for _ in range(limits.redirects + 1):
        found = await _one_hop(target, policy, limits, take)
        may_be_kept = may_be_kept and found.may_be_kept
        if isinstance(found, HttpFile):
            return replace(found, may_be_kept=may_be_kept)
        target = _redirected(target, found.location, policy)
    if limits.redirects == 0:
        raise FetchError("leads to a redirect, and this server follows none; send the address that it leads to")
    raise FetchError(f"leads to more than {limits.redirects} redirects; send the address that they lead to")


async def _one_hop(
    target: Target, policy: AddressPolicy, limits: Limits, take: Callable[[int], None]
) -> HttpFile | _Redirect:
    """The file, or where its host redirects to."""
    try:
        async with open_response(
            "GET",
            target,
            allow_private=policy.allow_private,
            timeout_s=limits.timeout_s,
            headers=HEADERS,
            proxy=limits.proxy,
        ) as response:
            location: str = response.headers.get("location", "")
            if response.status_code in _REDIRECTS and location:
                return _Redirect(location, _may_be_kept(response))
            if response.status_code != httpx.codes.OK:
                raise FetchError(f"leads to a host that answers {response.status_code} instead of a file")
            return HttpFile(await read_body(response, limits.max_bytes, take), _may_be_kept(response))
    except Unreachable as error:
        # One reason for all of these, or it would tell which names and ports exist in a private network.
        raise FetchError("names a host that cannot be reached from here", detail=str(error)) from None
    except httpx.TimeoutException:
        raise took_too_long(limits.timeout_s) from None
    except (httpx.HTTPError, OSError) as error:
        # The log has only the error's name, because its text may quote what the host sent.
        reason = "leads to a host whose answer broke off or is not valid HTTP"
        raise FetchError(reason, detail=type(error).__name__) from None


def took_too_long(seconds: float) -> FetchError:
    """A file that did not arrive in time."""
    return FetchError(f"leads to a file that did not arrive within {seconds:g} s", Outcome.TIMED_OUT)


def _redirected(target: Target, location: str, policy: AddressPolicy) -> Target:
    try:
        address = urldefrag(urljoin(target.url, location)).url
    except ValueError:
        raise FetchError("leads to a redirect to an invalid URL") from None
    try:
        return policy.check(address)
    except FetchError as error:
        raise FetchError(f"leads to a redirect whose URL {error.reason}", error.outcome) from None


def _may_be_kept(response: httpx.Response) -> bool:
    directives = [part.strip() for part in response.headers.get("cache-control", "").lower().split(",")]
    names = {directive.partition("=")[0].strip() for directive in directives}
    ages = (directive.partition("=")[2].strip(' "') for directive in directives if directive.startswith(_AGES))
    # An answer that is stale at once says the same as one that may not be kept.
    return _NOT_KEPT.isdisjoint(names) and not any(age.isdecimal() and int(age[:9]) == 0 for age in ages)
