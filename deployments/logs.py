"""Log lines that carry the request or job they belong to.

Serve's own context knows the HTTP request; a job outlives it, so its id is carried here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_subject: ContextVar[str] = ContextVar("subject", default="-")


class _Subject(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: object, kwargs: object) -> tuple[str, object]:  # type: ignore[override]
        return f"[{_subject.get()}] {msg}", kwargs


# Below Serve's logger, so that lines go where the operator's `logging_config` sends them.
log = _Subject(logging.getLogger("ray.serve.cosmos3"), {})


@contextmanager
def logs_for(subject: str) -> Iterator[None]:
    """Mark the lines logged inside with a request id or a job id."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)
