"""Log lines that name the request or job they belong to.

Serve's own context knows only the HTTP request, which a job outlives; so the id is kept here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_subject: ContextVar[str] = ContextVar("subject", default="-")


class _Subject(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        subject = _subject.get()
        # With arguments the line is a format, and a client may choose the id of its request.
        shown = subject.replace("%", "%%") if args else subject
        if self.isEnabledFor(level):
            self.logger.log(level, f"[{shown}] {msg}", *args, **{"stacklevel": 2, **kwargs})


# A child of Serve's logger, so that the operator's `logging_config` applies to these lines.
log = _Subject(logging.getLogger("ray.serve.cosmos3"), {})


def current_subject() -> str:
    """The request id or job id that lines are marked with here."""
    return _subject.get()


@contextmanager
def logs_for(subject: str) -> Iterator[None]:
    """Mark lines that are logged inside the block with a request id or a job id."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)
