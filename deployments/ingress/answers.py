"""The JSON that clients get, as types: handlers build it and `/openapi.json` describes it. It knows no HTTP.

Names and meanings are those of OpenAI, vLLM-Omni, SGLang and NIM; the keys that are ours alone say so.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from deployments.jobs.job import Interruption, Status

Metrics = dict[str, Any]


class ErrorDetail(TypedDict):
    """What is wrong.

    Attributes:
        message: what is wrong and what would be right.
        type: a name for the kind of error.
        param: the field at fault, by the client's own name of it.
        code: the HTTP status.
        request_id: the request's `X-Request-Id`, which the server's log has too.
    """

    message: str
    type: str
    param: str | None
    code: int
    request_id: str


class ErrorEnvelope(TypedDict):
    """The answer to a request that fails."""

    error: ErrorDetail


class JobError(TypedDict):
    """Why a job failed.

    Attributes:
        code: the HTTP status that a synchronous request would have had.
        message: what went wrong.
    """

    code: int
    message: str


class ActionObject(TypedDict):
    """Predicted actions in the model's normalised space.

    Attributes:
        data: rows of numbers, one row per transition.
        shape: of the data, `[rows, width]`.
        dtype: that the numbers were computed in.
        raw_action_dim: the width.
        action_mode: policy or inverse_dynamics.
        domain_id: the embodiment.
    """

    data: list[list[float]]
    shape: list[int]
    dtype: Literal["float32"]
    raw_action_dim: int
    action_mode: str
    domain_id: int


class VideoObject(TypedDict):
    """A video job.

    Attributes:
        id: of the job.
        object: always `video`.
        model: that makes it.
        prompt: as sent.
        status: queued, in_progress, completed or failed.
        progress: percent.
        size: `<width>x<height>`, as sent until it is known.
        seconds: as sent, or `4`.
        quality: always `default`.
        created_at, completed_at, expires_at: Unix time in seconds.
        error: where it failed.
        remixed_from_video_id: always null.
        media_type, file_name: of the content.
        fps, num_frames, duration_s: as asked until it is completed.
        inference_time_s, stage_durations: seconds, in all and by stage.
        peak_memory_mb: of the busiest device.
        metrics: bytes handed from stage to stage, where `return_stage_metrics` asked for them.
        action: where the mode predicts actions.
        seed: that was used.
        guardrails: `off` where nothing was checked.
        latents_sha256: hash by modality; equal hashes are bit-identical results.
        tries: how often it was started.
        interruptions: the tries that ended because a process died.
        queue_position: how many jobs go first; null once it is started.
    """

    id: str
    object: Literal["video"]
    model: str
    prompt: str
    status: Status
    progress: int
    size: str | None
    seconds: str
    quality: Literal["default"]
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: JobError | None
    remixed_from_video_id: None
    media_type: Literal["video/mp4"]
    file_name: str | None
    fps: float
    num_frames: int
    duration_s: float
    inference_time_s: float | None
    stage_durations: dict[str, float]
    peak_memory_mb: float
    metrics: Metrics | None
    action: ActionObject | None
    seed: int | None
    guardrails: str
    latents_sha256: dict[str, str] | None
    tries: int
    interruptions: list[Interruption]
    queue_position: int | None


class VideoPage(TypedDict):
    """Some of the video jobs.

    Attributes:
        object: always `list`.
        data: the jobs.
        first_id, last_id: of the page; `last_id` is the next page's `after`.
        has_more: whether there is a next page.
    """

    object: Literal["list"]
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(TypedDict):
    """A job's end: it is stopped, and its file is gone."""

    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class GeneratedImage(TypedDict):
    """An image.

    Attributes:
        b64_json: the file as base64.
        url, revised_prompt: always null.
        seed: that was used.
        latents_sha256: hash by modality; equal hashes are bit-identical results.
    """

    b64_json: str
    url: None
    revised_prompt: None
    seed: int
    latents_sha256: dict[str, str]


class ImagesAnswer(TypedDict):
    """Images.

    Attributes:
        created: Unix time in seconds.
        data: the images.
        output_format, size: of each.
        cot_output: always null.
        metrics: `stage_durations` and `peak_memory_mb`, and `handed_over_bytes` where `return_stage_metrics` asked.
    """

    created: int
    data: list[GeneratedImage]
    output_format: str
    size: str
    cot_output: None
    metrics: Metrics


class PredictedAction(TypedDict):
    """Predicted actions as SGLang calls them.

    Attributes:
        type: always `continuous`.
        values: rows of numbers in the model's normalised space; in msgpack an array, unless a list is asked for.
        shape: of the values, `[rows, width]`.
        dtype: that the numbers were computed in.
        raw_action_dim: the width.
        action_mode: policy or inverse_dynamics.
        domain_id: the embodiment.
    """

    type: Literal["continuous"]
    values: list[list[float]]
    shape: list[int]
    dtype: Literal["float32"]
    raw_action_dim: int
    action_mode: str
    domain_id: int


class Prediction(TypedDict):
    """The actions for one observation; there is one."""

    index: int
    input_index: int
    action: PredictedAction


class ActionsAnswer(TypedDict):
    """Predicted actions.

    Attributes:
        id: the request's `request_id`, or one of ours.
        object: always `action.generation`.
        created: Unix time in seconds.
        model: that made it.
        data: one prediction.
    """

    id: str
    object: Literal["action.generation"]
    created: int
    model: str
    data: list[Prediction]


class Healthy(TypedDict):
    """Every configured stage is ready."""

    status: Literal["healthy"]


class Unhealthy(TypedDict):
    """Something is not ready.

    Attributes:
        status: always `unhealthy`.
        reason: all of it as one text.
        stages: why, by stage.
    """

    status: Literal["unhealthy"]
    reason: str
    stages: dict[str, str]


class NimHealth(TypedDict):
    """Liveness or readiness in NIM's words."""

    object: Literal["health.response"]
    message: str
    status: Literal["live", "ready", "not_ready"]


class Version(TypedDict):
    """This server's version."""

    version: str


class Abilities(TypedDict):
    """What a model does here; ours alone.

    Attributes:
        chat: whether it chats.
        modes: of generation.
        sound: whether it makes soundtracks.
    """

    chat: bool
    modes: list[str]
    sound: bool


class ModelEntry(TypedDict):
    """A served model.

    Attributes:
        id: its name.
        object: always `model`.
        created: always the same.
        owned_by: always `cosmos3`.
        root: the checkpoint.
        parent, permission: empty.
        abilities: what it does here.
        max_model_len: longest chat in tokens, where it chats.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: None
    permission: list[Any]
    abilities: Abilities
    max_model_len: NotRequired[int]


class ModelList(TypedDict):
    """All models; the first one serves every route that any of them serves."""

    object: Literal["list"]
    data: list[ModelEntry]


def video_page(jobs: list[VideoObject], has_more: bool) -> VideoPage:
    """A page of jobs."""
    first, last = (jobs[0]["id"], jobs[-1]["id"]) if jobs else (None, None)
    return {"object": "list", "data": jobs, "first_id": first, "last_id": last, "has_more": has_more}


def video_deleted(job_id: str) -> VideoDeleted:
    """The end of a job."""
    return {"id": job_id, "object": "video.deleted", "deleted": True}
