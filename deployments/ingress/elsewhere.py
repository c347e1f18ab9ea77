"""Routes that are not here, and which route does what a client wants of them."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import compile_path

_CONTINUED = "POST /v1/videos with the video as input_reference goes on from it"
_NO_STORE = "answers are not stored"
_TABLE = {
    "/v1/videos/edits": _CONTINUED,
    "/v1/videos/extensions": _CONTINUED,
    "/v1/videos/{id}/remix": _CONTINUED,
    "/v1/videos/characters": "POST /v1/videos takes a picture as input_reference",
    "/v1/videos/characters/{id}": "POST /v1/videos takes a picture as input_reference",
    "/v1/images/variations": "POST /v1/images/edits changes a picture",
    "/v1/chat/completions/batch": "POST /v1/chat/completions takes one chat at a time",
    "/v1/responses/{id}": _NO_STORE,
    "/v1/responses/{id}/{rest:path}": _NO_STORE,
    "/v1/infer": "POST /v1/images/generations, /v1/videos/sync and /v1/actions/generations take its fields",
}
_PATTERNS = [(compile_path(path)[0], pointer) for path, pointer in _TABLE.items()]
_VERSION = "/v1"


def pointer(path: str, exists: Callable[[str], bool]) -> str | None:
    """What to do instead of a request for a path without a route; None if there is no telling.

    Args:
        path: the path, as it would be in the table of routes.
        exists: whether there is a route for a path.
    """
    for pattern, sentence in _PATTERNS:
        if pattern.match(path):
            return sentence
    # A base URL without the version, or with it twice.
    if exists(_VERSION + path):
        return f"there is one below {_VERSION}, so a base URL ends with {_VERSION}"
    if path.startswith(f"{_VERSION}/") and exists(path.removeprefix(_VERSION)):
        return f"there is one without the first {_VERSION}"
    return None
