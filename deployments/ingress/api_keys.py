"""Who sends a request: API keys, if the operator has set any, and idempotency keys. Pure ASGI."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.ingress.errors import ApiError
from deployments.ingress.paths import route_path
from deployments.ingress.websockets import refuse
from deployments.settings.jobs import KeySettings

GUARDED = ("/v1", "/v2", "/inference", "/cohere")
"""Prefixes of the paths that need a key; the same as in vLLM (spec http_api 1.1)."""
OPEN = ("/v1/health/",)
"""Prefixes of paths that need none: probes send no keys, and these tell no more than `/health` does."""
IDEMPOTENCY_KEY = "Idempotency-Key"
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        api_key: the name of the caller's API key; empty if the server needs none.
        idempotency_key: the key that makes repetitions of the request one request.
    """

    api_key: str = ""
    idempotency_key: str | None = None


def caller_of(request: Request) -> Caller:
    """The caller of a request that `ApiKeys` has let through.

    Raises:
        ApiError: 400, the idempotency key is malformed.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _PRINTABLE.fullmatch(key):
        message = f"{IDEMPOTENCY_KEY} must be 1 to 255 printable ASCII characters"
        raise ApiError(400, message, param=IDEMPOTENCY_KEY)
    return Caller(request.scope["state"].get("api_key", ""), key)


class ApiKeys:
    """Lets only requests with a known key reach the guarded paths; without keys it guards nothing.

    Args:
        app: the application that it guards.
        keys: the known keys.

    Raises:
        RuntimeError: an environment variable that should hold a key is not set.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[KeySettings]) -> None:
        self.app = app
        self._keys = {key.name: _digest(key) for key in keys}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if (
            self._keys
            and scope["type"] in ("http", "websocket")
            and scope.get("method") != "OPTIONS"
            and is_guarded(route_path(scope))
        ):
            name = self._name(Headers(scope=scope).get("authorization", ""))
            if name is None:
                await refuse(_unauthorized(), scope, receive, send)
                return
            scope.setdefault("state", {})["api_key"] = name
        await self.app(scope, receive, send)

    def _name(self, authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        given = hashlib.sha256(key.strip().encode()).digest()
        # Always compares with every key, so that the time it takes says nothing about the keys.
        matches = [name for name, known in self._keys.items() if hmac.compare_digest(known, given)]
        return matches[0] if matches and scheme.lower() == "bearer" else None


def _digest(key: KeySettings) -> bytes:
    if key.sha256 is not None:
        return bytes.fromhex(key.sha256)
    value = os.environ.get(key.environment or "", "")
    if not value:
        raise RuntimeError(f"API key {key.name} is read from {key.environment}, which is not set")
    return hashlib.sha256(value.encode()).digest()


def is_guarded(path: str) -> bool:
    """Whether requests for a path need a key, if any keys are set."""
    return not path.startswith(OPEN) and any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED)


def _unauthorized() -> JSONResponse:
    # Not the usual envelope, because vLLM answers with this string.
    return JSONResponse({"error": "Unauthorized"}, 401, headers={"WWW-Authenticate": "Bearer"})
