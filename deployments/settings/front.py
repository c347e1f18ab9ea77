"""The settings of the front application: Ingress and Jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from deployments.settings.base import Settings
from deployments.settings.decoding import DecodingSettings
from deployments.settings.fetching import FETCHED_FACTOR, FetchSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.settings.intake import IntakeSettings
from deployments.settings.jobs import BoundSettings, KeySettings, RetentionSettings, WebhookSettings
from deployments.settings.streams import StreamSettings
from deployments.wire.media_store import is_local


class FrontSettings(Settings):
    """Ingress and Jobs.

    Attributes:
        data: folder for the database and the media, unless `database` and `media` name other places.
        database: SQLAlchemy URL of SQLite or PostgreSQL.
        media: fsspec URL of the media folder; no other database may use it.
        single_host: states that all nodes of the cluster share one disk. Without it, a database or media folder on a
            disk is refused as soon as the cluster has a second node.
        guardrails: whether texts and frames are checked, and by which application.
        sync_timeout_s: how long a synchronous generation may take.
        max_running: how many jobs of each service class a Jobs replica drives at a time. These wait at the Generators,
            where short work goes first, with their keys and values in the object store. The others wait in the order
            in which they came; their API keys take turns.
        admission: bounds on all unfinished jobs together.
        each_key: bounds on the unfinished jobs of each API key; null is half of `admission`, if there are keys.
        keys: the API keys; if there are none, requests need no key.
        max_tries: how often a job is started before it fails, if processes that work on it die.
        lease_s: how long a job stays with a Jobs replica that no longer responds before another one takes it over.
        retention: how long jobs and files are kept.
        webhooks: how webhooks are called; null refuses requests that name one.
        decoding: how the Ingress decodes media to check them.
        fetch: how media are fetched that requests name by their address.
        streams: bounds on open streams of jobs' events.
        intake: how much of what clients send is held at a time.
        failed_job_answer: `ok` answers 200 for a failed job, as OpenAI does; `error` answers the job's error code, as
            vLLM-Omni does.
    """

    data: Path = Path("~/.local/share/cosmos3/default")
    database: str | None = None
    media: str | None = None
    single_host: bool = False
    guardrails: GuardrailPolicy = GuardrailPolicy()
    sync_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    max_running: Annotated[int, Field(ge=1)] = 32
    admission: BoundSettings = BoundSettings(max_unfinished=4096, max_gpu_seconds=1e6)
    each_key: BoundSettings | None = None
    keys: tuple[KeySettings, ...] = ()
    max_tries: Annotated[int, Field(ge=1)] = 3
    lease_s: Annotated[float, Field(ge=1)] = 15.0
    retention: RetentionSettings = RetentionSettings()
    webhooks: WebhookSettings | None = None
    decoding: DecodingSettings = DecodingSettings()
    fetch: FetchSettings = FetchSettings()
    streams: StreamSettings = StreamSettings()
    intake: IntakeSettings = IntakeSettings()
    failed_job_answer: Literal["ok", "error"] = "ok"

    @field_validator("keys")
    @classmethod
    def _distinct_names(cls, keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("must have a different name for each key")
        return keys

    @model_validator(mode="after")
    def _one_file_fits(self) -> Self:
        if self.intake.each_replica_bytes < FETCHED_FACTOR * self.fetch.max_bytes:
            raise ValueError(
                f"has less intake.replica_bytes times intake.share than {FETCHED_FACTOR} times fetch.max_bytes, so the "
                "largest file could never be fetched"
            )
        return self

    @property
    def folder(self) -> Path:
        """`data` as an absolute path."""
        return Path(os.path.abspath(self.data.expanduser()))

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database that keeps the jobs."""
        if self.database is not None:
            return self.database
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(self.folder / "jobs.sqlite3")).render_as_string(hide_password=False)

    @property
    def media_url(self) -> str:
        """URL of the folder that keeps the media."""
        return self.media or f"file://{self.folder / 'media'}"

    @property
    def local_places(self) -> tuple[str, ...]:
        """What this machine's disk keeps, in words for a message; empty if all of it is shared."""
        found = {
            "the database is": self.database_url.startswith("sqlite"),
            "the media are": is_local(self.media_url),
        }
        return tuple(name for name, local in found.items() if local)


class ServedModel(Settings):
    """One entry of the front's `user_config`: an application that serves a model."""

    application: str


class ServedModels(Settings):
    """The front's `user_config`; a change of it restarts nothing."""

    models: tuple[ServedModel, ...] = ()
