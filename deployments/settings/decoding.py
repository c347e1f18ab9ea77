"""The settings of the processes that decode media; see `deployments.decoding`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deployments.settings.base import MEGABYTE, Settings


class DecodingSettings(Settings):
    """The processes in which a replica decodes media files; see `deployments.decoding`.

    Attributes:
        processes: how many work at a time.
        memory_bytes: what each may use beyond what it needs without a file, so it bounds a decoded clip as well.
        seconds: CPU time for a file before the time that is granted for each pixel that it turns out to hold.
        confined: refuse them the system calls that open files and connections; only where the kernel or the container
            does not allow such a filter may it be off.
    """

    processes: Annotated[int, Field(ge=1)] = 2
    memory_bytes: Annotated[int, Field(ge=256 * MEGABYTE)] = 4096 * MEGABYTE
    seconds: Annotated[float, Field(gt=0)] = 2.0
    confined: bool = True
