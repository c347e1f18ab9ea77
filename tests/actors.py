"""An actor as its handle shows it."""

from __future__ import annotations

import asyncio
from typing import Any


class ActorHandle:
    """Answers, fails with an error, or never answers.

    Attributes:
        error: raised by the next calls.
        silent: whether it never answers.
    """

    def __init__(self, error: Exception | None = None, silent: bool = False) -> None:
        self.error = error
        self.silent = silent

    @property
    def __ray_ready__(self) -> Any:
        return self

    async def remote(self) -> None:
        """The call."""
        if self.silent:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
