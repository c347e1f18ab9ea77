"""Errors as clients get them, and the one JSON envelope that they have, which is that of vLLM and vLLM-Omni:

`{"error": {"message", "type", "param", "code", "request_id"}}`, where `code` is the HTTP status as an integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from starlette.responses import JSONResponse

from cosmos3_core.errors import RequestError
from deployments.decoding.worker import NotStarted
from deployments.jobs.admission import IdempotencyMismatch, QueueFull
from deployments.logs import log
from deployments.redaction import encodable, redacted

RETRY_AFTER = {"Retry-After": "5"}
NO_RETRY = {"x-should-retry": "false"}
MAX_REPORTED = 10
MAX_MESSAGE = 2000
MAX_EXCERPT = 80


class ApiError(Exception):
    """An answer other than success.

    Attributes:
        status: HTTP status code.
        message: what is wrong and what would be right.
        param: the wrong field, if there is one.
        kind: the envelope's `type`; by default the status' reason phrase.
        headers: headers of the answer, such as `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        kind: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.kind = kind or HTTPStatus(status).phrase
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The envelope."""
        return {
            "error": {
                "message": redacted(self.message)[:MAX_MESSAGE],
                "type": self.kind,
                "param": None if self.param is None else encodable(self.param),
                "code": self.status,
                "request_id": request_id,
            }
        }

    def response(self, request_id: str) -> JSONResponse:
        """The envelope as a response."""
        return JSONResponse(self.body(request_id), self.status, headers=self.headers)


def hung_up() -> ApiError:
    """What is counted for a client that did not wait for its answer, or did not send all of its request."""
    return ApiError(499, "the client hung up", kind="ClientClosedRequest")


def bad_field(error: RequestError, names: Mapping[str, str] | None = None) -> ApiError:
    """A refusal by the core as an API error; `names` maps the core's fields to the names that the client used."""
    name = (names or {}).get(error.field, error.field)
    return ApiError(400, f"{name} {error.reason}", param=name)


def bad_fields(error: ValidationError, names: Mapping[str, str] | None = None) -> ApiError:
    """pydantic's errors in our own words, at most ten of them; `param` names the first.

    `names` maps the schema's fields to the names that the client used.
    """
    problems = [(_place(found["loc"], names or {}), _sentence(dict(found))) for found in error.errors()]
    reported = [f"{field} {sentence}".strip() for field, sentence in problems[:MAX_REPORTED]]
    more = len(problems) - len(reported)
    message = "; ".join(reported) + (f"; and {more} more" if more > 0 else "")
    return ApiError(400, message, param=problems[0][0] or None)


def _place(parts: tuple[int | str, ...], names: Mapping[str, str]) -> str:
    field, *inner = (str(part) for part in parts or ("",))
    return ".".join((names.get(field, field), *inner))


def _sentence(found: dict[str, Any]) -> str:
    if found["type"] == "missing":
        return "is missing"
    message = str(found["msg"]).removeprefix("Value error, ")
    expectation = message if message.startswith(("must", "is ")) else message[0].lower() + message[1:]
    value = found.get("input")
    return f"is {_excerpt(value)}: {expectation}" if isinstance(value, (str, int, float)) else expectation


def _excerpt(value: str | float) -> str:
    if isinstance(value, str) and len(value) > MAX_EXCERPT:
        return f"{value[:MAX_EXCERPT]!r}..."
    return repr(value)[:MAX_EXCERPT]


def unwrapped(error: BaseException) -> BaseException:
    """The exception that was raised in the other process."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error


def as_api_error(error: BaseException) -> ApiError:
    """A failure behind the ingress as an API error."""
    error = unwrapped(error)
    if isinstance(error, ApiError):
        return error
    if isinstance(error, QueueFull):
        return ApiError(429, f"the queue is full: {error.message}", headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, BackPressureError):
        return ApiError(429, "the queue is full; try again later", headers=RETRY_AFTER)
    if isinstance(error, IdempotencyMismatch):
        message = "Idempotency-Key was used for another request before; send a new key with a new request"
        return ApiError(422, message, param="Idempotency-Key")
    if isinstance(error, NotStarted):
        log.error("%s", error)
        return ApiError(503, "media cannot be decoded now; try again", headers=RETRY_AFTER)
    if isinstance(error, (DeploymentUnavailableError, RayError, RayServeException)):
        log.warning("a stage is not available: %s: %s", type(error).__name__, error)
        return ApiError(503, "a stage of the graph is not available; try again", headers=RETRY_AFTER)
    log.error("unexpected: %s: %s", type(error).__name__, error)
    return ApiError(500, "an internal error; the log has its details under this request id")
