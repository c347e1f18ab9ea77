"""The base of all settings, and of those of stages that run on the core."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cosmos3_core.settings import DtypeName, ExecutionSettings

MEGABYTE = 1024**2
Bytes = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """Base of all settings: unknown names are refused, so that a typing error is not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(Settings):
    """How a stage that runs on the core executes; each kind of stage adds what only it uses.

    Attributes:
        device, dtype, memory_limit_bytes: see `cosmos3_core.settings`.
        threads: torch's threads in the stage's process; results are equal only for equal numbers.
    """

    device: str = "auto"
    dtype: DtypeName = "auto"
    memory_limit_bytes: Bytes | None = None
    threads: Annotated[int, Field(ge=1)] | None = None

    def execution(self) -> ExecutionSettings:
        """The core's settings of the same names, with the threads applied to this process.

        The deployments have their own caches for keys and values, so the core's cache is off.
        """
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        own = self.model_dump(include={field.name for field in fields(ExecutionSettings)})
        return ExecutionSettings(**own, text_cache_bytes=0)
