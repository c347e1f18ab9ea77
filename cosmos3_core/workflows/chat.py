"""The chat request of a workflow: media before text, the form of the answer, the instruction to reason (spec 10.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cosmos3_core.workflows.medium import Medium, MediumKind
from cosmos3_core.workflows.table import VIDEO_FPS, Workflow
from cosmos3_core.workflows.text_sampling import sampling_for

REASONING_TEXT = (
    "Think about it step by step first, inside <think> and </think>. Write the answer directly after </think>."
)


def prompt_text(workflow: Workflow, question: str, reasons: bool) -> str:
    """The text of the user's message: the question, the form of the answer, the instruction to reason."""
    parts = (question, workflow.form_text, REASONING_TEXT if reasons else "")
    return "\n\n".join(part for part in parts if part)


def user_message(text: str, medium: Medium | None) -> dict[str, Any]:
    """A message of the user in the form of OpenAI's API; the medium stands before the text."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if medium is not None:
        part = "image_url" if medium.kind is MediumKind.IMAGE else "video_url"
        content.insert(0, {"type": part, part: {"url": medium.data_uri}})
    return {"role": "user", "content": content}


def video_fields(medium: Medium | None) -> dict[str, Any]:
    """The fields that say at which rate the model sees a video; none without a video."""
    if medium is None or medium.kind is MediumKind.IMAGE:
        return {}
    return {"mm_processor_kwargs": {"fps": VIDEO_FPS, "do_sample_frames": True}}


def chat_body(
    workflow: Workflow,
    question: str | None,
    medium: Medium,
    *,
    reasons: bool | None = None,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """The body of `POST /v1/chat/completions`.

    Args:
        workflow: what is asked for.
        question: the user's; None for the workflow's own.
        medium: what the question is about.
        reasons: whether the model thinks before it answers; None for the workflow's own choice.
        max_tokens: length of the answer; None for the default of the sampling.

    Raises:
        RequestError: a medium of the wrong kind, or no question where one is needed.
    """
    workflow.check_medium(medium.kind)
    reasons = workflow.reasons if reasons is None else reasons
    sampling = sampling_for(reasons)
    if max_tokens is not None:
        sampling = replace(sampling, max_tokens=max_tokens)
    message = user_message(prompt_text(workflow, workflow.ask(question), reasons), medium)
    return {"messages": [message], **sampling.fields(), **video_fields(medium)}
