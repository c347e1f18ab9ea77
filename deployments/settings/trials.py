"""The settings of the processes that try what clients have answers follow; see `deployments.reasoner.trials`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deployments.settings.base import MEGABYTE, Settings


class TrialSettings(Settings):
    """The processes that compile schemas, expressions and grammars before vLLM does.

    Attributes:
        processes: how many work at a time, of each replica; each is started when it is needed and takes 400 MB. 0 tries
            nothing.
        seconds: CPU time that one may take to compile; a schema of ten texts, each of another bounded length, takes 70.
        waiting: how many may run or wait at a time; what comes then is answered with 503.
        wait_seconds: how long a request waits for its trial before it is answered with 503; the trial goes on.
        memory_bytes: what one may use beyond what its process needs without it.
        kept: how many verdicts are kept for requests that come again.
    """

    processes: Annotated[int, Field(ge=0)] = 1
    seconds: Annotated[float, Field(gt=0)] = 120.0
    waiting: Annotated[int, Field(ge=1)] = 8
    wait_seconds: Annotated[float, Field(gt=0)] = 60.0
    memory_bytes: Annotated[int, Field(ge=256 * MEGABYTE)] = 1024 * MEGABYTE
    kept: Annotated[int, Field(ge=0)] = 1024
