"""The settings of jobs: how many are accepted, from whom, for how long they are kept, and who is told."""

from __future__ import annotations

import os
from typing import Annotated, Self

from pydantic import Field, model_validator

from deployments.settings.base import Settings


class BoundSettings(Settings):
    """The most unfinished work that is accepted; null is no limit.

    Attributes:
        max_unfinished: the number of jobs.
        max_gpu_seconds: the GPU-seconds that they are expected to take, by formulas (`cosmos3_core.planning.cost`). A
            job larger than that is accepted when nothing else is unfinished.
    """

    max_unfinished: Annotated[int, Field(ge=1)] | None = None
    max_gpu_seconds: Annotated[float, Field(gt=0)] | None = None


class KeySettings(BoundSettings):
    """An API key: its name, and either its hash or the variable that holds it; never the key itself.

    Attributes:
        name: the key's name, in logs and in the jobs that it came with.
        sha256: the key's SHA-256 in hexadecimal, as `printf %s KEY | sha256sum` prints it.
        environment: the environment variable of the Ingress process that holds the key, instead of `sha256`.
        max_unfinished, max_gpu_seconds: bounds for this key, instead of those of `each_key`.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    environment: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.sha256 is None) == (self.environment is None):
            raise ValueError("must have one of sha256 and environment")
        return self


class RetentionSettings(Settings):
    """How long jobs and files are kept.

    Attributes:
        finished_s: how long a completed or failed job and its file are kept; null keeps them until they are deleted.
        sweep_interval_s: seconds between two sweeps, which remove expired jobs and stray files.
        stray_after_s: age at which a file without a job is removed. It has a lower bound because a request's media are
            stored before its job, and because clocks differ.
    """

    finished_s: Annotated[float, Field(gt=0)] | None = 7 * 24 * 3600.0
    sweep_interval_s: Annotated[float, Field(gt=0)] = 60.0
    stray_after_s: Annotated[float, Field(ge=60)] = 3600.0


class WebhookSettings(Settings):
    """Webhooks, which tell clients that their jobs have ended.

    Attributes:
        secret_environment: environment variable of the Jobs processes that holds the signing secret, such as
            `whsec_...`.
        allow_private: whether addresses that are not public may be called.
        timeout_s: time limit of one call.
    """

    secret_environment: str = "COSMOS3_WEBHOOK_SECRET"
    allow_private: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0

    def secret(self) -> str:
        """The signing secret.

        Raises:
            RuntimeError: the variable is not set.
        """
        secret = os.environ.get(self.secret_environment, "")
        if not secret:
            raise RuntimeError(f"webhooks need a secret; set {self.secret_environment}")
        return secret
