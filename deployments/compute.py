"""One thread for a stage's torch work, so that the replica's event loop goes on answering meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from cosmos3_core.settings import ExecutionSettings
from deployments.settings.base import StageSettings

P = ParamSpec("P")
T = TypeVar("T")


class ComputeThread:
    """Runs calls one after another in its own thread.

    Attributes:
        execution: the settings for the core; the number of threads was applied in this thread.
    """

    def __init__(self, settings: StageSettings) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.execution: ExecutionSettings = self._pool.submit(settings.execution).result()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the thread and wait for its result. Cancelling the wait does not stop the call."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
