"""One thread for a stage's torch work, so that the replica's event loop goes on answering meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from cosmos3_core.settings import ExecutionSettings
from deployments.freed_memory import give_memory_back
from deployments.settings.base import StageSettings

P = ParamSpec("P")
T = TypeVar("T")


class ComputeThread:
    """Runs calls one after another in its own thread. When no more are waiting, what they have freed is given back.

    Attributes:
        execution: the settings for the core; the number of threads was applied in this thread.
    """

    def __init__(self, settings: StageSettings) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._unfinished = 0
        self.execution: ExecutionSettings = self._pool.submit(settings.execution).result()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the thread and wait for its result. Cancelling the wait does not stop the call."""
        call = partial(function, *args, **kwargs)
        self._unfinished += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._unfinished -= 1
            if not self._unfinished:
                # The largest request would otherwise decide what a stage holds from then on.
                self._pool.submit(give_memory_back)
