"""What an Ingress replica holds of its requests: memory and disk, admitted like work and given back at their end."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.byte_budget import ByteBudget, NoRoom, Share
from deployments.freed_memory import give_memory_back
from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.settings.intake import IntakeSettings
from deployments.wire.encoded_file import DiskFile

TIDY_BYTES = 8 * 2**20
"""A request that has held so much leaves memory behind that is worth to be returned."""
TIDY_AFTER_S = 1.0
TOO_LARGE = "is too large to be read here; send less, or media as files of a multipart form"


class Intake:
    """A replica's bounds on what it holds of all requests.

    Args:
        settings: the operator's.

    Attributes:
        settings: the operator's.
        memory, disk: the budgets of all requests together.
    """

    def __init__(self, settings: IntakeSettings) -> None:
        self.settings = settings
        self.memory = ByteBudget(settings.replica_bytes, settings.each_replica_bytes)
        self.disk = ByteBudget(settings.disk_bytes, settings.each_disk_bytes)
        self._tidying: asyncio.TimerHandle | None = None

    def tidy_up(self) -> None:
        """Return freed memory to the machine, soon and in a thread, once for all requests that end until then."""
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(TIDY_AFTER_S, self._tidy_up)

    def _tidy_up(self) -> None:
        self._tidying = None
        asyncio.get_running_loop().run_in_executor(None, give_memory_back)

    def holding(self, client: str = "") -> Holding:
        """What one request of a client holds, which is nothing yet."""
        return Holding(self.settings, self.memory.share(client), self.disk.share(client))


class Holding:
    """What one request holds of a replica's memory and disk.

    Attributes:
        settings: the operator's.
        client: whose request it is.
        most: the most memory that it has held at a time, in bytes.
    """

    def __init__(self, settings: IntakeSettings, memory: Share, disk: Share) -> None:
        self.settings = settings
        self.client = memory.client
        self.most = 0
        self._memory = memory
        self._disk = disk
        self._files: list[DiskFile] = []
        self._spare = 0

    def take(self, count: int, field: str = "body") -> None:
        """Count bytes of memory before they are used; `field` is the client's name of what they hold.

        Raises:
            ApiError: 429, there is no room for them now; 413, there never is.
        """
        with _refused(field):
            self._memory.take(count)
        self.most = max(self.most, self._memory.taken)

    def give(self, count: int) -> None:
        """Count bytes of memory that are used no longer."""
        self._memory.give(count)

    def spare(self, count: int) -> None:
        """Note how many of the bytes are only used until the request has been read."""
        self._spare += count

    def settle(self) -> None:
        """Give back what was only used until the request has been read."""
        self._memory.give(self._spare)
        self._spare = 0

    def reserve_disk(self, total: int) -> None:
        """Count bytes of the disk, up to a total.

        Raises:
            ApiError: as `take`.
        """
        if total > self._disk.taken:
            with _refused("body"):
                self._disk.take(total - self._disk.taken)

    def new_file(self) -> DiskFile:
        """A file on the disk, which goes with the request.

        Raises:
            OSError: it cannot be made.
        """
        file = DiskFile(self.settings.folder)
        self._files.append(file)
        return file

    def release(self) -> None:
        """Give everything back, once the request's media are stored or its answer is complete."""
        for file in self._files:
            file.close()
        self._files.clear()
        self._memory.close()
        self._disk.close()


@contextmanager
def _refused(field: str) -> Iterator[None]:
    try:
        yield
    except NoRoom as error:
        if not error.ever:
            raise ApiError(413, f"{field} {TOO_LARGE}", param=field) from None
        message = "the server is reading as much as it can hold; send the request again later"
        raise ApiError(429, message, headers=RETRY_AFTER) from None


class HeldRequests:
    """Middleware that gives each request its holding, and takes it back when the request ends in any way."""

    def __init__(self, app: ASGIApp, intake: Intake) -> None:
        self.app = app
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        holding = state["holding"] = self._intake.holding(client_of(scope))
        try:
            await self.app(scope, receive, send)
        finally:
            holding.release()
            if holding.most >= TIDY_BYTES:
                self._intake.tidy_up()


def client_of(scope: Scope) -> str:
    """Who takes a share: the name of an API key or, without one, the address that the connection came from."""
    name: str = scope.get("state", {}).get("api_key", "")
    host, _ = scope.get("client") or ("", 0)
    return f"key {name}" if name else f"host {network_of(host)}"


def network_of(host: str) -> str:
    """The addresses that one client has by itself: of IPv6 a network of 64 bits, otherwise the address."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


def holding_of(request: Request) -> Holding:
    """What a request holds."""
    holding: Holding = request.scope["state"]["holding"]
    return holding
