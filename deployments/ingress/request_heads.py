"""Bounds what Serve's HTTP server takes besides bodies: heads, trailers, connections, and the time that they may take.

uvicorn's parser takes heads of any size, and waits for the rest of one for as long as its client likes. Serve has no
setting for either, so the protocol that uvicorn uses is replaced by one that counts. Serve calls
`deployments.ingress.proxy.middleware` before it starts the server, which is when `bound_heads` must run.
"""

from __future__ import annotations

import asyncio
import json
import resource
import uuid
from typing import Any

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deployments.ingress.errors import ApiError

MAX_HEAD_BYTES = 64 * 2**10
"""The request line and all headers: eight times what most servers take, since addresses may hold signatures."""
MAX_HEADERS = 256
MAX_WAITING = 8
"""Requests that one connection may send before the first of them is answered (pipelining), besides that one."""
MAX_CONNECTIONS = 4096
HEAD_SECONDS = 20.0
REST_SECONDS = 60.0
"""How long the rest of a body may come whose request is already answered; nobody reads it."""
PLACE = f"{__name__}:BoundedHeads"
# What is parsed at a time. A head that begins behind a request in the same piece counts from the next one.
_PIECE_BYTES = 16 * 2**10


def bound_heads() -> None:
    """Make servers that start in this process from now on bound the heads of their requests."""
    config.HTTP_PROTOCOLS["auto"] = PLACE


def most_connections() -> int:
    """Connections that a server keeps open: half of the files that its process may open, at most."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


class _Refused(Exception):
    """Ends the parser's work in the middle of what it was given."""


class BoundedHeads(HttpToolsProtocol):
    """A connection whose heads are bounded; it is closed behind an answer that says so."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._awaiting_head = True
        self._head_begun = False
        # Since a head began, or in a body since the last piece of it: what only the parser holds.
        self._unfinished_bytes = 0
        self._progressed = False
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._refusal: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first head is awaited from now on."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refused = True
            transport.close()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)
        # uvicorn leaves this one running if the connection broke.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Pass on what came, in pieces, so that nothing is parsed that is too large."""
        view = memoryview(data)
        while view and not self._refused:
            piece = view[: min(_PIECE_BYTES, MAX_HEAD_BYTES + 1 - self._unfinished_bytes)]
            view = view[len(piece) :]
            self._progressed = False
            super().data_received(bytes(piece))
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            self._count(len(piece))
        if not self._refused:
            self._bound_rest()

    def on_message_begin(self) -> None:
        """A head begins; empty lines before it do not count as one."""
        super().on_message_begin()
        self._awaiting_head = self._head_begun = True
        self._start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head, or a trailer behind the body, of which nothing is kept: nobody reads them."""
        if not self._awaiting_head:
            return
        if len(self.headers) >= MAX_HEADERS:
            self._refusal = 431, f"the request has more than {MAX_HEADERS} headers; send fewer"
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is complete; a body follows, or the next head."""
        if len(self.pipeline) >= MAX_WAITING:
            self._refusal = 429, f"more than {MAX_WAITING} requests wait on this connection; await their answers first"
            raise _Refused
        self._awaiting_head = self._head_begun = False
        self._progressed = True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete; what comes now is the head of another."""
        super().on_message_complete()
        self._awaiting_head = self._progressed = True
        self._stop_timer()

    def on_response_complete(self) -> None:
        """An answer is complete; the refusal of what came meanwhile follows it."""
        super().on_response_complete()
        if self._refusal is not None and not self._is_answering():
            self._refuse(*self._refusal)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, or what one of the methods above has given up."""
        self._refuse(*(self._refusal or (400, msg)))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int) -> None:
        """Count a piece that has been parsed, and refuse what is too large."""
        if self._progressed or (self._awaiting_head and not self._head_begun):
            self._unfinished_bytes = 0
            return
        self._unfinished_bytes += size
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            what = "head is" if self._awaiting_head else "headers behind its body are"
            self._refuse(431, f"the request's {what} larger than {MAX_HEAD_BYTES} bytes; send shorter headers")

    def _bound_rest(self) -> None:
        """Bound the time of a connection whose request is answered, and where no head has begun."""
        if self.cycle is None or self._is_answering() or self._head_begun:
            return
        if self.timeout_keep_alive_task is None:
            handler = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, handler)
        if self._timer is None:
            self._timer = self.loop.call_later(REST_SECONDS, self.transport.close)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._head_begun:
            # Connected in advance, and without a question there is nobody who waits for an answer.
            self.transport.close()
        elif self.flow.read_paused:
            # It is the server that does not read.
            self._start_timer()
        else:
            self._refuse(408, f"the request's head did not arrive within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, message: str) -> None:
        """Read no more, answer and close; behind the answers that are still awaited, if there are any."""
        self._refused = True
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self._is_answering():
            if self._awaiting_head:
                self._refusal = status, message
                self.flow.pause_reading()
                return
            if self.cycle.response_started or self.pipeline:
                # The body of a request that is being answered, or is to be: there is no place for another answer.
                self.transport.close()
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
