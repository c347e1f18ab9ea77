"""What is wrong with a request that vLLM's own types refuse, in the client's words.

Pydantic reports every member of a union on its own and names the Python types on the way. A client knows the keys that
it sent and nothing else, so one field is named, the deepest that is wrong, with everything that is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.wire.reasoner_calls import ReasonerAnswer

MISSING = "missing"


def refusal(field: str, message: str) -> ReasonerAnswer:
    """A refusal in vLLM's words."""
    error = {"message": message, "type": "BadRequestError", "param": field, "code": 400}
    return ReasonerAnswer(400, {"error": error})


def refusal_of(errors: Sequence[Mapping[str, Any]], body: Any) -> tuple[str | None, str]:
    """The field and what is wrong with it.

    Args:
        errors: pydantic's, at least one.
        body: the request as the client sent it.

    Returns:
        The path of the field, such as `tools.0.function`, or None if it is not one of the client's; and a sentence.
    """
    # A wrong value says more than a key that only another member of a union wants.
    wrong = [error for error in errors if error["type"] != MISSING] or list(errors)
    paths = [_path(error, body) for error in wrong]
    deepest = max(paths, key=len)
    told = [error for error, path in zip(wrong, paths, strict=True) if path == deepest]
    field = ".".join(str(key) for key in deepest) or None
    if told[0]["type"] == MISSING:
        return field, f"{field or 'a field'} is missing"
    reasons = "; ".join(dict.fromkeys(str(error["msg"]) for error in told))
    return field, f"{field}: {reasons}" if field else reasons


def _path(error: Mapping[str, Any], body: Any) -> tuple[str | int, ...]:
    """The keys and indices of an error that exist in the body, and the one that is missing from it."""
    location, path, value = tuple(error["loc"]), [], body
    for key in location:
        known = isinstance(value, dict) and key in value
        if known or (isinstance(value, list) and isinstance(key, int) and key < len(value)):
            path.append(key)
            value = value[key]
    if error["type"] == MISSING and location:
        path.append(location[-1])
    return tuple(path)
