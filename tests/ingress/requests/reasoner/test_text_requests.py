"""Requests for completions, responses and tokens: what passes to vLLM, and what is refused with its field."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.completion import MAX_PROMPTS, read_completion
from deployments.ingress.requests.reasoner.fields import GUIDED
from deployments.ingress.requests.reasoner.responses import read_responses
from deployments.ingress.requests.reasoner.tokens import read_detokenize, read_tokenize
from tests.ingress.requests.reasoner.test_chat import CLIP, URI

MESSAGES = [{"role": "user", "content": "x"}]


def refused(read: Any, body: dict[str, Any]) -> str | None:
    with pytest.raises(ApiError) as caught:
        read(body)
    assert caught.value.status == 400
    return caught.value.param


@pytest.mark.parametrize("prompt", ["x", "", [1, 2], ["x", "y"], [[1], [2, 3]]])
def test_prompts(prompt: Any) -> None:
    assert read_completion({"prompt": prompt, "echo": True}).body == {"prompt": prompt, "echo": True}


@pytest.mark.parametrize("prompt", [None, 3, [], [[]], [True], [1.5], {"x": 1}, ["x"] * (MAX_PROMPTS + 1)])
def test_what_is_no_prompt(prompt: Any) -> None:
    assert refused(read_completion, {"prompt": prompt}) == "prompt"


@pytest.mark.parametrize("field", [*GUIDED, "vllm_xargs", "prompt_embeds", "chat_template", "kv_transfer_params"])
def test_no_route_takes_what_is_not_for_clients(field: str) -> None:
    for read, own in (
        (read_completion, {"prompt": "x"}),
        (read_responses, {"input": "x"}),
        (read_tokenize, {"prompt": "x"}),
        (read_tokenize, {"messages": MESSAGES}),
    ):
        assert refused(read, own | {field: "y"}) == field


@pytest.mark.parametrize(("field", "value"), [("n", 17), ("n", 0), ("n", True), ("best_of", 100), ("stream", "yes")])
def test_numbers_are_bounded(field: str, value: Any) -> None:
    assert refused(read_completion, {"prompt": "x", field: value}) == field


def test_nothing_is_stored() -> None:
    assert read_responses({"input": "x", "store": True}).body == {"input": "x", "store": False}
    assert refused(read_responses, {"input": "x", "background": True}) == "background"
    assert refused(read_responses, {"input": "x", "previous_response_id": "resp_1"}) == "previous_response_id"


def test_images_of_a_response_are_attached() -> None:
    part = {"type": "input_image", "image_url": URI, "detail": "auto"}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}, part]},
        {"type": "function_call_output", "call_id": "c", "output": [part]},
        {"role": "user", "content": "plain"},
    ]
    request = read_responses({"input": items, "mm_processor_kwargs": {"max_pixels": 4096}})
    assert [medium.field for medium in request.media] == ["input.0.content.1.image_url", "input.1.output.0.image_url"]
    assert request.body["input"][0]["content"][1] == part | {"image_url": request.media[0].name}
    assert "mm_processor_kwargs" not in request.body and request.media[1].visual.reading.most_pixels == 4096
    assert request.body["input"][2] == items[2]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image", "image_url": "http://x/y"}, "input.0.content.0.image_url"),
        ({"type": "input_image", "file_id": "f"}, "input.0.content.0.image_url"),
        ({"type": "text", "image_url": CLIP}, "input.0.content.0.image_url"),
        ({"type": "video_embeds", "video_embeds": "gASV"}, "input.0.content.0"),
        ({"type": "input_text", "text": "x", "image_embeds": "gASV"}, "input.0.content.0"),
    ],
)
def test_a_part_that_is_refused(part: dict[str, Any], field: str) -> None:
    assert refused(read_responses, {"input": [{"role": "user", "content": [part]}]}) == field


@pytest.mark.parametrize("given", [None, "", [], 3, {}])
def test_no_input(given: Any) -> None:
    assert refused(read_responses, {"input": given}) == "input"


def test_tokens_of_a_prompt_and_of_a_chat() -> None:
    assert read_tokenize({"prompt": "x"}).body == {"prompt": "x"}
    assert read_tokenize({"messages": MESSAGES}).body == {"messages": MESSAGES}
    assert len(read_tokenize({"messages": [{"role": "user", "content": [{"image_url": URI}]}]}).media) == 1
    assert refused(read_tokenize, {}) == "prompt"


@pytest.mark.parametrize("tokens", [None, "x", [-1], [True], [1.5]])
def test_what_are_no_tokens(tokens: Any) -> None:
    assert refused(read_detokenize, {"tokens": tokens}) == "tokens"
    assert read_detokenize({"tokens": [0, 7]}).body == {"tokens": [0, 7]}


@pytest.mark.parametrize("field", ["mm_processor_kwargs", "media_io_kwargs"])
def test_vllm_is_never_told_how_to_read_media(field: str) -> None:
    odd = {field: {"patch_size": 8}}
    assert field not in read_completion({"prompt": "x"} | odd).body
    assert field not in read_tokenize({"prompt": "x"} | odd).body
    for read, own in ((read_responses, {"input": "x"}), (read_tokenize, {"messages": MESSAGES})):
        assert refused(read, own | odd) == f"{field}.patch_size"
