"""Which http and https addresses may be fetched, as far as that shows without a name server."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.addresses import Target, check_url
from deployments.fetching.errors import FetchError, Outcome

INSTEAD = "upload the file or send a data URI"
_ANY_SUBDOMAIN = "*."


@dataclass(frozen=True)
class AddressPolicy:
    """What the operator allows to fetch; see `FetchSettings`."""

    enabled: bool
    hosts: tuple[str, ...] | None
    allow_private: bool

    def check(self, address: str) -> Target:
        """Take an address apart.

        Raises:
            FetchError: it cannot or may not be fetched.
        """
        if not self.enabled:
            raise FetchError(f"is a URL, and this server fetches none; {INSTEAD}", Outcome.REFUSED)
        try:
            target = check_url(address, self.allow_private)
        except ValueError as error:
            raise FetchError(str(error), Outcome.REFUSED) from None
        if self.hosts is not None and not any(_matches(target.host.removesuffix("."), host) for host in self.hosts):
            raise FetchError(f"names a host that this server does not fetch from; {INSTEAD}", Outcome.REFUSED)
        return target


def _matches(host: str, allowed: str) -> bool:
    if allowed.startswith(_ANY_SUBDOMAIN):
        return host.endswith(allowed.removeprefix("*"))
    return host == allowed
