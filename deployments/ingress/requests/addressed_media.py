"""Media that a request names by their address: they are fetched before it is read, and take the addresses' places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, MutableMapping, MutableSequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.fetcher import Fetcher, is_local
from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.intake import Holding, holding_of
from deployments.ingress.requests.references import FileKind
from deployments.ingress.waiting import while_connected
from deployments.settings.fetching import FETCHED_FACTOR

MAX_ADDRESSES = 16
"""The most addresses in a request: more than the media that any request may have."""


@dataclass(frozen=True)
class AddressedMedium:
    """A place in a request's body that holds the address of a medium instead of the medium.

    Attributes:
        holder: the object or list in the body.
        key: the address' key or index there.
        field: the client's name of the field.
        kind: the kind of media that the field promises, if it does.
        stands_for: what takes the place of the address, made of the file's content.
    """

    holder: MutableMapping[str, Any] | MutableSequence[Any]
    key: Any
    field: str
    kind: FileKind | None
    stands_for: Callable[[bytes], Any] = bytes

    @property
    def address(self) -> str:
        """The address."""
        address: str = self.holder[self.key]
        return address

    def put(self, content: bytes) -> None:
        """Let the file take the place of its address."""
        self.holder[self.key] = self.stands_for(content)


async def fetch_media(request: Request, found: Callable[[], Iterable[AddressedMedium]], status: int = 400) -> None:
    """Fetch the media that a request's body names by their address, side by side, and put them into it.

    Args:
        request: the request; if its client hangs up, nothing more is fetched.
        found: finds the addresses in the body; called in a thread, because it may read JSON in a form's fields.
        status: the HTTP status if a URL cannot or may not be fetched. For a file of the server it is always 400.

    Raises:
        ApiError: with the client's name of the field.
    """
    media = await asyncio.to_thread(lambda: list(found()))
    if not media:
        return
    if len(media) > MAX_ADDRESSES:
        field = media[MAX_ADDRESSES].field
        message = f"{field} is one more than the {MAX_ADDRESSES} addresses that a request may have; send fewer"
        raise ApiError(400, message, param=field)
    fetcher: Fetcher = request.app.state.fetcher
    await while_connected(request, _fetch_all(fetcher, media, status, holding_of(request)))


async def _fetch_all(fetcher: Fetcher, media: list[AddressedMedium], status: int, holding: Holding) -> None:
    most = holding.settings.request_bytes
    turns = asyncio.Semaphore(fetcher.settings.per_request)
    total = 0

    async def fetch(medium: AddressedMedium) -> None:
        nonlocal total
        async with turns:
            content = await _fetch(fetcher, medium, status, holding.client)
        total += len(content)
        if total > most:
            message = f"{medium.field} makes more than {most} bytes of media in one request; send less"
            raise _refusal(status, message, medium)
        # Until the request ends: a file is decoded, stored or sent on from memory.
        holding.take(FETCHED_FACTOR * len(content), medium.field)
        medium.put(content)

    try:
        async with asyncio.TaskGroup() as group:
            for medium in media:
                group.create_task(fetch(medium))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _fetch(fetcher: Fetcher, medium: AddressedMedium, status: int, client: str) -> bytes:
    timeout_s: float = getattr(fetcher.settings.timeouts_s, medium.kind or "video")
    try:
        return await fetcher.fetch(medium.address, timeout_s, client)
    except FetchError as error:
        message = f"{medium.field} {error.reason}"
        if error.outcome is Outcome.BUSY:
            raise ApiError(429, message, param=medium.field, headers=RETRY_AFTER) from None
        raise _refusal(status, message, medium) from None


def _refusal(status: int, message: str, medium: AddressedMedium) -> ApiError:
    if is_local(medium.address):
        status = 400
    # vLLM's name of the error whose status is vLLM's.
    kind = "UnprocessableEntityError" if status == 422 else None
    return ApiError(status, message, param=medium.field, kind=kind)
