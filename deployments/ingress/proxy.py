"""Middleware of Serve's own HTTP server, before and around everything that Serve does with a request.

Serve obeys some headers of clients, and answers some errors itself, as plain text. An application cannot change either,
because it runs behind. Serve calls `middleware` where `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names it: in its
proxies, and in the replicas that HAProxy reaches directly.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.ingress.errors import NO_RETRY, RETRY_AFTER, ApiError
from deployments.ingress.intake import network_of
from deployments.ingress.middleware import HEADER, acceptable_id
from deployments.ingress.request_heads import bound_heads
from deployments.ingress.requests.arrival import declared_within
from deployments.ingress.windows import ServerWindows, Unanswered
from deployments.logs import log, logs_for
from deployments.names import INTAKE_VARIABLE
from deployments.settings.intake import IntakeSettings

IMPORT_PATH = "deployments.ingress.proxy:middleware"
STEERING = frozenset(
    {"x-request-timeout-seconds", "x-request-disconnect-disabled", "serve-multiplexed-model-id", "x-session-id"}
)
"""Headers that Serve obeys, with `-` for `_`: a limit, whether work outlives its client, which replica it is for."""
SERVES_OWN = "/-/"
"""The prefix of the routes by which load balancers ask Serve for its health; their answers stay as they are."""

HEALTH = frozenset({"/health", "/ping", "/v1/health/live", "/v1/health/ready"})
"""Routes that load balancers ask for the graph's health; they are answered however many requests there are."""


def middleware() -> list[Middleware]:
    """What Serve wraps its HTTP server in, the last one outermost. It also bounds the heads that this server takes."""
    bound_heads()
    settings = IntakeSettings.model_validate_json(os.environ.get(INTAKE_VARIABLE, "{}"))
    return [
        Middleware(ServerWindows, window_bytes=settings.window_bytes, stall_s=settings.stall_s),
        Middleware(ServesErrors),
        Middleware(BoundedRequests, settings=settings),
        Middleware(ClientHeaders),
    ]


class BoundedRequests:
    """Refuses more requests at a time than the operator allows, of all or of one address, and too large bodies.

    Args:
        app: what it wraps.
        settings: the operator's.
    """

    def __init__(self, app: ASGIApp, settings: IntakeSettings) -> None:
        self.app = app
        self._settings = settings
        self._requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or _is_serves_own(scope):
            await self.app(scope, receive, send)
            return
        counted = scope["path"].removeprefix(scope.get("root_path", "")) not in HEALTH
        host = network_of((scope.get("client") or ("", 0))[0])
        refusal = self._refusal(Headers(scope=scope).get("content-length", ""), host if counted else None)
        if refusal is not None:
            await _answer(refusal, scope, receive, send)
            return
        self._requests[host] += counted
        try:
            await self.app(scope, receive, send)
        finally:
            self._requests[host] -= counted
            if not self._requests[host]:
                del self._requests[host]

    def _refusal(self, declared: str, host: str | None) -> ApiError | None:
        try:
            declared_within(declared, self._settings.request_bytes)
        except ApiError as error:
            return error
        if host is None:
            return None
        if self._requests.total() >= self._settings.connections:
            return ApiError(429, "the server handles as many requests as it can; try again", headers=RETRY_AFTER)
        if self._requests[host] >= self._settings.each_connections:
            message = "the server handles as many requests of one address as it may; try again"
            return ApiError(429, message, headers=RETRY_AFTER)
        return None


class ClientHeaders:
    """Takes away the headers by which clients would steer Serve, and gives each request one id of a bounded form.

    Serve sends the id back and hands it on, so that the answer's header, its body and the log have the same one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] in ("http", "websocket"):
            given = Headers(scope=scope).get(HEADER, "")
            request_id = (HEADER.encode(), acceptable_id(given).encode())
            scope = {**scope, "headers": [request_id, *_harmless(scope["headers"])]}
        await self.app(scope, receive, send)


def _harmless(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        # Serve takes either separator.
        known_as = name.decode("latin-1").lower().replace("_", "-")
        if known_as != HEADER and known_as not in STEERING:
            yield name, value


class ServesErrors:
    """Gives the errors that Serve answers itself the form of ours; ours are never plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or _is_serves_own(scope):
            await self.app(scope, receive, send)
            return
        started, replacement = False, None

        async def send_ours(message: Message) -> None:
            nonlocal started, replacement
            if message["type"] == "http.response.start":
                replacement = _replacement(message)
            if replacement is None:
                started = True
                await send(message)

        try:
            await self.app(scope, receive, send_ours)
        except Unanswered:
            # Serve would have said 408, had it not taken the report of what was read for the start of an answer.
            replacement = _error(408, {})
        except Exception:
            if started:
                raise
            with logs_for(Headers(scope=scope).get(HEADER, "-")):
                log.exception("Serve's HTTP server failed")
            replacement = _error(500, {})
        if not started:
            # Serve answers nothing where a replica dies while it reads a body.
            await _answer(replacement or _error(500, {}), scope, receive, send)


def _is_serves_own(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(scope.get("root_path", "") + SERVES_OWN)


async def _answer(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    request_id = Headers(scope=scope).get(HEADER, "")
    answer = error.response(request_id)
    answer.headers[HEADER] = request_id
    await answer(scope, receive, send)


def _replacement(start: Message) -> ApiError | None:
    """Our error in place of Serve's, if this is the start of one."""
    headers = Headers(raw=[(bytes(name).lower(), bytes(value)) for name, value in start["headers"]])
    if start["status"] < 400 or not headers.get("content-type", "").startswith("text/plain"):
        return None
    return _error(start["status"], {name: headers[name] for name in ("retry-after",) if name in headers})


def _error(status: int, kept: dict[str, str]) -> ApiError:
    match status:
        case 404:
            return ApiError(404, "no application is deployed at this path yet, or at all")
        case 408:
            # Clients of OpenAI repeat a 408, and then start the same work once more.
            message = (
                "not finished within the server's request_timeout_s; POST /v1/videos makes a job that can be polled"
            )
            return ApiError(504, message, headers=NO_RETRY)
        case 429 | 503:
            return ApiError(status, "the server is busy or starting; try again", headers=kept or RETRY_AFTER)
        case status if status < 500:
            return ApiError(status, "refused by the server")
        case _:
            return ApiError(500, "an internal error; the log has its details under this request id", headers=NO_RETRY)
