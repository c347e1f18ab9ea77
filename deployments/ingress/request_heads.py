"""Bounds the heads of requests: their size, and the time that they may take to arrive.

uvicorn's parser takes heads of any size, and waits for the rest of one for as long as its client likes. Serve has no
setting for either, so the protocol that uvicorn uses is replaced by one that counts. Serve calls
`deployments.ingress.proxy.middleware` before it starts the server, which is when `bound_heads` must run.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deployments.ingress.errors import ApiError

MAX_HEAD_BYTES = 64 * 2**10
"""The request line and all headers: eight times what most servers take, since addresses may hold signatures."""
HEAD_SECONDS = 20.0
PLACE = f"{__name__}:BoundedHeads"


def bound_heads() -> None:
    """Make servers that start in this process from now on bound the heads of their requests."""
    config.HTTP_PROTOCOLS["auto"] = PLACE


class BoundedHeads(HttpToolsProtocol):
    """A connection whose heads are bounded; it is closed behind an answer that says so."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counting = True
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, in pieces while it is a head, so that no head is parsed that is too large."""
        view = memoryview(data)
        while view and not self._refused:
            if not self._counting:
                super().data_received(bytes(view))
                return
            piece = view[: MAX_HEAD_BYTES + 1 - self._head_bytes]
            if self._timer is None:
                self._await_head()
            self._head_bytes += len(piece)
            super().data_received(bytes(piece))
            if self._counting and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes; send shorter headers")
            view = view[len(piece) :]
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return

    def on_headers_complete(self) -> None:
        """A head is complete; a body follows, or the next head."""
        self._counting, self._head_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete; what comes now is the head of another."""
        super().on_message_complete()
        self._counting = True

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._head_bytes:
            # Connected in advance, and without a question there is nobody who waits for an answer.
            self.transport.close()
            return
        self._refuse(408, f"the request's head did not arrive within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, message: str) -> None:
        self._refused = True
        self._stop_timer()
        if self.transport.is_closing():
            return
        request_id = uuid.uuid4().hex
        error = ApiError(status, message)
        body = json.dumps(error.body(request_id)).encode()
        head = (
            f"HTTP/1.1 {status} {error.kind}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nx-should-retry: false\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
