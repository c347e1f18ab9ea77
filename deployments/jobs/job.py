"""A job and its events as values. `store` keeps them, and `driver` runs a job until it ends."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from deployments.wire.guardrails import JobGuardrails
from deployments.wire.service_class import ServiceClass
from deployments.wire.upsampling import UpsampleCall

Status = Literal["queued", "in_progress", "completed", "failed"]
FINAL: tuple[Status, ...] = ("completed", "failed")
JobKind = Literal["video", "image"]
EventKind = Literal[
    "queued", "started", "stage", "upsampled", "step", "preview", "interrupted", "done", "failed", "cancelled"
]
LAST_EVENTS: tuple[EventKind, ...] = ("done", "failed", "cancelled")

CONTENT_POLICY = "content_policy_violation"
"""`type` of the error of a job or a request that a guardrail has blocked."""
Guarded = Literal["off", "skipped", "pending", "unchecked", "passed", "blurred", "blocked"]

MAX_PAGE = 100
"""The most jobs of a page. A job may hold a long prompt, so a list is never read as a whole."""


class DatabaseAway(Exception):
    """The database cannot be reached; the same call may succeed later."""


class Interruption(TypedDict):
    """A try of a job that ended because a process died.

    Attributes:
        attempt: the number of the try.
        at: Unix time in seconds.
        reason: which process died, as far as it is known.
    """

    attempt: int
    at: float
    reason: str


@dataclass(frozen=True)
class Job:
    """A generation from the moment it is accepted until it is deleted or expires.

    Attributes:
        id: the job's id, `video_gen_...` or `img_gen_...`.
        kind: what it makes.
        model: the model's name.
        application: the application whose stages make it.
        decoder: the application whose Decoder decodes it.
        detached: whether it outlives the request that made it.
        request: fields, media URIs, the snapshot's URI, target and format of the file, an `UpsampleCall` if the
            prompt is to be upsampled, a `JobGuardrails` if it is checked; enough to run it again.
        shown: what the client sent and its answer repeats, such as `size`.
        service_class: how urgent it is.
        api_key: name of the API key that it came with; empty if the server has no keys.
        gpu_seconds: the GPU-seconds that it is expected to take; admission counts them.
        idempotency_key: key by which the client marks repetitions of one request; unique within an API key.
        fingerprint: hash of the request, which tells a repetition from another request with the same idempotency key.
        status: queued, in_progress, completed or failed.
        progress: percent.
        tries: how often it was started.
        interruptions: the tries that ended because a process died.
        created_at, started_at, completed_at: Unix time in seconds.
        expires_at: when it is removed; None keeps it.
        owner: the claim that drives it.
        lease_until: until when nobody else may claim it.
        result: the file and what is known of it, once it is completed.
        error: `code` and `message`, if it has failed, and `type` if a guardrail has blocked it.
        upsampled: a `wire.upsampling.UpsampledPrompt` as JSON, once a Reasoner has written the prompt.
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
    upsampled: dict[str, Any] | None = None
    fingerprint: str = ""
    status: Status = "queued"
    progress: int = 0
    tries: int = 0
    interruptions: list[Interruption] = field(default_factory=list)
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
        """URI of its saved state while it is denoised; None for a job of a version that saved none."""
        uri: str | None = self.request.get("snapshot")
        return uri

    @property
    def upsample(self) -> UpsampleCall | None:
        """What a Reasoner is asked before it is encoded, if the client wants that."""
        call: dict[str, Any] | None = self.request.get("upsample")
        return None if call is None else UpsampleCall(**call)

    @property
    def upsampled_prompt(self) -> str | None:
        """The prompt that a Reasoner wrote."""
        return None if self.upsampled is None else str(self.upsampled["prompt"])

    @property
    def checked(self) -> JobGuardrails | None:
        """What guardrails said before it was accepted, and which check the rest of it; None if none does."""
        kept: dict[str, Any] | None = self.request.get("guardrails")
        return None if kept is None else JobGuardrails.of_json(kept)

    @property
    def guarded(self) -> Guarded:
        """What guardrails say of it in one word: `pending` until frames are checked, `unchecked` if there were none."""
        if self.result is not None and "guardrails" in self.result:
            verdict: Guarded = self.result["guardrails"]["verdict"]
            return verdict
        if self.error is not None and self.error.get("type") == CONTENT_POLICY:
            return "blocked"
        if self.checked is not None:
            return "unchecked" if self.status == "failed" else "pending"
        return "off" if self.shown.get("guardrails", "off") == "off" else "skipped"

    @property
    def guardrail_checks(self) -> list[dict[str, Any]]:
        """What each guardrail has said of it so far, as JSON."""
        done: dict[str, Any] = (self.result or {}).get("guardrails") or self.request.get("guardrails") or {}
        return list(done.get("checks", []))

    @property
    def webhook(self) -> str | None:
        """URL that is called when it has ended."""
        url: str | None = self.request.get("webhook")
        return url

    def working_media(self) -> tuple[str, ...]:
        """URIs of the files that it needs only until it ends, whether they exist or not."""
        return (*self.request["media"].values(), *([] if self.snapshot is None else [self.snapshot]))

    def media(self) -> tuple[str, ...]:
        """URIs of its files, whether they exist or not, except the file that a running attempt writes."""
        return (*self.working_media(), *([] if self.result is None else [self.result["uri"]]))


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        number: counts up from 1 within a job; gaps are events that are no longer kept, such as older previews.
        kind: what happened.
        data: its details.
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


def preview_data(step: int, jpeg: bytes) -> dict[str, Any]:
    """The data of a `preview` event: the step and the picture, as base64 because it is kept as JSON."""
    return {"step": step, "jpeg": base64.b64encode(jpeg).decode()}


def preview_jpeg(event: JobEvent) -> bytes:
    """The picture of a `preview` event."""
    return base64.b64decode(event.data["jpeg"])
