"""The JSON that clients get, as types: handlers build it and `/openapi.json` describes it. It knows no HTTP.

Names and meanings are those of OpenAI, vLLM-Omni, SGLang and NIM; the docstrings say which keys are our own.
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
        type: the name of the kind of error.
        param: the wrong field, by the name that the client used.
        code: the HTTP status.
        request_id: the request's `X-Request-Id`, which the server's log contains too.
    """

    message: str
    type: str
    param: str | None
    code: int
    request_id: str


class ErrorEnvelope(TypedDict):
    """The answer to a failed request."""

    error: ErrorDetail


class JobError(TypedDict):
    """Why a job failed.

    Attributes:
        code: the HTTP status that a synchronous request would have got.
        message: what went wrong.
        type: `content_policy_violation` if a guardrail blocked it.
    """

    code: int
    message: str
    type: NotRequired[str]


class GuardrailFinding(TypedDict):
    """What a guardrail said of a text, or of all frames; a key of our own.

    Attributes:
        guardrail: its name: blocklist, text_classifier, frames_classifier or face_blur.
        sha256: hash of its files.
        of: the request's field, `upsampled_prompt` or `frames`.
        outcome: allowed, blurred or blocked.
        reason: why, where it did not allow it.
    """

    guardrail: str
    sha256: str
    of: str
    outcome: str
    reason: str


class PhysicalActions(TypedDict):
    """Predicted actions in the units of the dataset whose statistics the operator has named.

    Attributes:
        data: the actions, one row of numbers per transition.
        units: always `dataset`.
        method: the normalisation that was undone: quantile, quantile_rot, minmax or meanstd.
    """

    data: list[list[float]]
    units: Literal["dataset"]
    method: str


class ActionObject(TypedDict):
    """Predicted actions in the model's normalised space.

    Attributes:
        data: the actions, one row of numbers per transition.
        shape: the shape of `data`, `[rows, width]`.
        dtype: the type that the numbers were computed in.
        raw_action_dim: the width.
        action_mode: policy or inverse_dynamics.
        domain_id: the embodiment's id.
        physical: the same in physical units, if the model has statistics for them.
    """

    data: list[list[float]]
    shape: list[int]
    dtype: Literal["float32"]
    raw_action_dim: int
    action_mode: str
    domain_id: int
    physical: NotRequired[PhysicalActions]


class VideoObject(TypedDict):
    """A video job.

    Attributes:
        id: the job's id.
        object: always `video`.
        model: the name of the model.
        prompt: the prompt that was sent.
        upsampled_prompt: the structured prompt that the model's Reasoner wrote, if `upsample_prompt` asked for one.
        status: queued, in_progress, completed or failed.
        progress: percent.
        size: `<width>x<height>` as sent; if none was sent, the video's size once it is completed.
        seconds: the length that was sent, or `4`.
        quality: always `default`.
        created_at, completed_at, expires_at: Unix time in seconds.
        error: the reason of a failure.
        remixed_from_video_id: always null.
        media_type, file_name: the type and the name of the job's file.
        fps, num_frames, duration_s: the video's rate and length; until the job is completed, as requested.
        inference_time_s, stage_durations: seconds, in total and by stage.
        peak_memory_mb: the largest amount of memory used on one device.
        metrics: bytes passed from stage to stage, if `return_stage_metrics` was set.
        action: the actions, if the mode predicts any.
        seed: the seed that was used.
        guardrails: `off` where the server checks nothing, `skipped` if the request did not want it, `pending` until the
            frames are checked, then `passed`, `blurred` if faces were found, `blocked`, or `unchecked` if there was
            nothing to check, because the job failed before or because texts alone are checked and there is none.
        guardrail_checks: what each guardrail has said so far.
        latents_sha256: a hash per modality; equal hashes mean bit-identical results.
        tries: the number of times that the job was started.
        interruptions: the tries that ended because a process died.
        queue_position: the number of jobs that wait before it; null once it is started.
    """

    id: str
    object: Literal["video"]
    model: str
    prompt: str
    upsampled_prompt: str | None
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
    guardrail_checks: list[GuardrailFinding]
    latents_sha256: dict[str, str] | None
    tries: int
    interruptions: list[Interruption]
    queue_position: int | None


class VideoPage(TypedDict):
    """A page of video jobs.

    Attributes:
        object: always `list`.
        data: the jobs.
        first_id, last_id: ids of its first and last job; `last_id` is the next page's `after`.
        has_more: whether there is a next page.
    """

    object: Literal["list"]
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(TypedDict):
    """A deleted job: it was stopped, and its file was removed."""

    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class GeneratedImage(TypedDict):
    """A generated image.

    Attributes:
        b64_json: the file as base64.
        url: always null.
        revised_prompt: the structured prompt that the model's Reasoner wrote, if `upsample_prompt` asked for one.
        seed: the seed that was used.
        latents_sha256: a hash per modality; equal hashes mean bit-identical results.
    """

    b64_json: str
    url: None
    revised_prompt: str | None
    seed: int
    latents_sha256: dict[str, str]


class ImagesAnswer(TypedDict):
    """Generated images.

    Attributes:
        created: Unix time in seconds.
        data: the images.
        output_format, size: the format and the size of each image.
        cot_output: always null.
        metrics: `stage_durations`, `peak_memory_mb` and, if `return_stage_metrics` was set, `handed_over_bytes`.
    """

    created: int
    data: list[GeneratedImage]
    output_format: str
    size: str
    cot_output: None
    metrics: Metrics


class PredictedAction(TypedDict):
    """Predicted actions in SGLang's form.

    Attributes:
        type: always `continuous`.
        values: rows of numbers in the model's normalised space; in msgpack an array, unless a list was requested.
        shape: the shape of `values`, `[rows, width]`.
        dtype: the type that the numbers were computed in.
        raw_action_dim: the width.
        action_mode: policy or inverse_dynamics.
        domain_id: the embodiment's id.
        physical: the same in physical units, if the model has statistics for them; always a list.
    """

    type: Literal["continuous"]
    values: list[list[float]]
    shape: list[int]
    dtype: Literal["float32"]
    raw_action_dim: int
    action_mode: str
    domain_id: int
    physical: NotRequired[PhysicalActions]


class Prediction(TypedDict):
    """The actions for the request's one observation."""

    index: int
    input_index: int
    action: PredictedAction


class ActionsAnswer(TypedDict):
    """Predicted actions.

    Attributes:
        id: the request's `request_id`, or an id of our own.
        object: always `action.generation`.
        created: Unix time in seconds.
        model: the name of the model.
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
        reason: the reasons of all stages as one text.
        stages: the reason for each stage that is not ready.
    """

    status: Literal["unhealthy"]
    reason: str
    stages: dict[str, str]


class NimHealth(TypedDict):
    """Liveness or readiness in NIM's form."""

    object: Literal["health.response"]
    message: str
    status: Literal["live", "ready", "not_ready"]


class Version(TypedDict):
    """This server's version."""

    version: str


class Abilities(TypedDict):
    """What a model can do on this server; a key of our own.

    Attributes:
        chat: whether it answers chats.
        modes: the generation modes that it serves.
        sound: whether it generates soundtracks.
    """

    chat: bool
    modes: list[str]
    sound: bool


class ModelEntry(TypedDict):
    """A served model.

    Attributes:
        id: the model's name.
        object: always `model`.
        created: a constant.
        owned_by: always `cosmos3`.
        root: the checkpoint.
        parent, permission: empty.
        abilities: what the model can do on this server.
        max_model_len: the longest chat in tokens, if it answers chats.
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
    """The answer to a request that deletes a job."""
    return {"id": job_id, "object": "video.deleted", "deleted": True}
