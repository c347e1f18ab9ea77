"""The chat request of a workflow."""

from __future__ import annotations

import base64

import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.workflows.chat import REASONING_TEXT, chat_body, prompt_text, user_message, video_fields
from cosmos3_core.workflows.medium import MediumKind
from cosmos3_core.workflows.table import WORKFLOWS, Workflow, find_workflow
from tests.core.workflows.samples import grey_image, short_video

SAMPLED = {"temperature", "top_p", "top_k", "repetition_penalty", "presence_penalty", "max_tokens", "seed"}
each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))


@each_workflow
@pytest.mark.parametrize("kind", MediumKind)
def test_a_request_of_each_workflow(workflow: Workflow, kind: MediumKind) -> None:
    medium = grey_image(64, 48) if kind is MediumKind.IMAGE else short_video()
    if kind not in workflow.media:
        with pytest.raises(RequestError, match="medium is"):
            chat_body(workflow, "Where?", medium)
        return
    body = chat_body(workflow, "Where?", medium)
    (message,) = body.pop("messages")
    assert message["role"] == "user"
    shown, asked = message["content"]
    part = f"{kind}_url"
    assert shown["type"] == part and asked["type"] == "text"
    head, _, encoded = shown[part]["url"].partition(";base64,")
    assert head == f"data:{medium.mime_type}" and base64.b64decode(encoded) == medium.content
    assert asked["text"] == prompt_text(workflow, "Where?", workflow.reasons)
    if kind is MediumKind.VIDEO:
        assert body.pop("mm_processor_kwargs") == {"fps": 4, "do_sample_frames": True}
    assert set(body) == SAMPLED


@pytest.mark.parametrize(
    ("reasons", "numbers"),
    [
        (False, {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.0, "presence_penalty": 1.5}),
        (True, {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.0, "presence_penalty": 0.0}),
    ],
)
def test_the_sampling_is_nvidias(reasons: bool, numbers: dict[str, float]) -> None:
    body = chat_body(find_workflow("caption"), None, grey_image(64, 48), reasons=reasons)
    assert body["seed"] == 0 and body["max_tokens"] == (4096 if reasons else 1024)
    assert {name: body[name] for name in numbers} == numbers


def test_the_length_of_the_answer_can_be_chosen() -> None:
    workflow, medium = find_workflow("physical-plausibility"), short_video()
    assert chat_body(workflow, None, medium, max_tokens=7)["max_tokens"] == 7
    assert chat_body(workflow, None, medium, max_tokens=7)["temperature"] == 0.6


@each_workflow
@pytest.mark.parametrize("reasons", [False, True])
def test_the_prompt_has_its_parts_in_order(workflow: Workflow, reasons: bool) -> None:
    text = prompt_text(workflow, "Where is the cup?", reasons)
    assert text.startswith("Where is the cup?")
    assert workflow.form_text in text
    assert text.endswith(REASONING_TEXT) == reasons
    assert "\n\n\n" not in text and text == text.strip()


def test_reasoning_is_asked_for_by_its_tags() -> None:
    assert "<think>" in REASONING_TEXT and "</think>" in REASONING_TEXT


def test_no_question_where_one_is_needed() -> None:
    with pytest.raises(RequestError, match="question is missing; grounding-2d needs one such as"):
        chat_body(find_workflow("grounding-2d"), None, grey_image(64, 48))


def test_a_message_without_a_medium() -> None:
    assert user_message("hello", None) == {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    assert video_fields(None) == {} == video_fields(grey_image(64, 48))
