"""A job and its events as everybody sees them; `store` keeps them, `driver` brings a job to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from deployments.wire.service_class import ServiceClass

Status = Literal["queued", "in_progress", "completed", "failed"]
FINAL: tuple[Status, ...] = ("completed", "failed")
JobKind = Literal["video", "image"]
EventKind = Literal["queued", "started", "stage", "step", "preview", "interrupted", "done", "failed", "cancelled"]
LAST_EVENTS: tuple[EventKind, ...] = ("done", "failed", "cancelled")

MAX_PAGE = 100
"""A job may hold a long prompt, so a list is never read as a whole."""


class DatabaseAway(Exception):
    """The database cannot be reached; the same call may succeed later."""


class Death(TypedDict):
    """A process that died under a job.

    Attributes:
        attempt: the try that it ended.
        at: Unix time in seconds.
        reason: what died, as far as it is known.
    """

    attempt: int
    at: float
    reason: str


@dataclass(frozen=True)
class Job:
    """A generation from the moment it is accepted until it is deleted or expires.

    Attributes:
        id: `video_gen_...` or `img_gen_...`.
        kind: what is made.
        model, application, decoder: who makes it.
        detached: whether it outlives the request that made it.
        request: fields, media URIs, snapshot's URI, target and format of the file; enough to run it again.
        shown: what the client sent and is shown again, such as `size`.
        service_class: how urgent it is.
        api_key: name of the key that it came with; empty where none is wanted.
        gpu_seconds: what it is expected to take; admission counts them.
        idempotency_key: the client's word that requests with it are one request; unique within an API key.
        fingerprint: hash of the request, to tell a repetition from a mistake.
        status: queued, in_progress, completed or failed.
        progress: percent.
        tries: how often it was started.
        deaths: of processes that worked on it.
        created_at, started_at, completed_at: Unix time in seconds.
        expires_at: when it is removed; None keeps it.
        owner, lease_until: who drives it, and until when nobody else does.
        result: what came of it.
        error: `code` and `message`.
    """

    id: str
    kind: JobKind
    model: str
    application: str
    decoder: str
    detached: bool
    request: dict[str, Any]
    shown: dict[str, Any]
    service_class: str = ServiceClass.STANDARD.value
    api_key: str = ""
    gpu_seconds: float = 0.0
    idempotency_key: str | None = None
    fingerprint: str = ""
    status: Status = "queued"
    progress: int = 0
    tries: int = 0
    deaths: list[Death] = field(default_factory=list)
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    expires_at: float | None = None
    owner: str | None = None
    lease_until: float | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in FINAL

    @property
    def snapshot(self) -> str | None:
        """URI of its state while it is denoised; None for a job of a version that kept none."""
        uri: str | None = self.request.get("snapshot")
        return uri

    @property
    def webhook(self) -> str | None:
        """URL that hears of its end."""
        url: str | None = self.request.get("webhook")
        return url

    def working_media(self) -> tuple[str, ...]:
        """URIs of the files that it needs only until it is over, whether they exist or not."""
        return (*self.request["media"].values(), *([] if self.snapshot is None else [self.snapshot]))

    def media(self) -> tuple[str, ...]:
        """URIs of all files that belong to it, whether they exist or not; an attempt under way has one of its own."""
        return (*self.working_media(), *([] if self.result is None else [self.result["uri"]]))


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        number: counts up from 1 within a job; gaps are events that are no longer kept, such as older previews.
        kind, data: what happened.
        created_at: Unix time in seconds.
    """

    number: int
    kind: EventKind
    data: dict[str, Any]
    created_at: float

    @property
    def last(self) -> bool:
        """Whether no event follows."""
        return self.kind in LAST_EVENTS


@dataclass(frozen=True)
class Page:
    """Some jobs of a list, and whether more follow."""

    jobs: list[Job]
    has_more: bool
