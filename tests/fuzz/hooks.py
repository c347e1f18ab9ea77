"""What schemathesis does beside its own checks; it loads this module by the variable SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import random
from typing import Any

import httpx
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response, SerializationContext

from tests.fuzz.encodings import packed
from tests.fuzz.requests import CALLS, kept_small, refused_last
from tests.fuzz.sending import wrong_with

MOST_SERVED = 0.1
"""The share of valid synchronous generations that are served; the others are refused at the end of their checks."""
WAITING = {call.path for call in CALLS if call.waits}
JOBS = "/v1/videos"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Keep the work small that a valid request asks for."""
    if not isinstance(case.body, dict):
        return
    case.body = kept_small(case.operation.path, case.body)
    if case.operation.path in WAITING and random.Random(repr(case.body)).random() > MOST_SERVED:
        case.body = refused_last(case.body)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Delete the job that was made, so that the queue stays short."""
    if (case.method, case.operation.path, response.status_code) == ("POST", JOBS, 200):
        made = httpx.URL(str(response.request.url)).join(f"{JOBS}/{response.json()['id']}")
        httpx.delete(made, timeout=60)


@schemathesis.serializer("application/msgpack")
def as_msgpack(context: SerializationContext, value: Any) -> bytes:
    """A body in the other form that the route of actions takes."""
    return packed(value)


@schemathesis.check
def answers_of_one_form(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Errors have their envelope, answers their id, and no answer is a 5xx that is not documented."""
    headers = [(name, value) for name, values in response.headers.items() for value in values]
    answer = httpx.Response(response.status_code, headers=headers, content=response.content)
    faults = wrong_with(answer, case.method)
    assert not faults, "; ".join(faults)
