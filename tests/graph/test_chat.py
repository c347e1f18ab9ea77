"""Chat through HTTP: the openai client, vLLM's own tokens, images embedded outside the engine."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from cosmos3_core.media.stills import encode_image
from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.graph.figures import eventually
from tests.parity.cases import picture
from tests.parity.vllm_offline import QUESTION

MODEL = "cosmos3-tiny"


@pytest.fixture
def openai(graph: RunningGraph) -> Any:
    with OpenAI(base_url=f"{graph.url}/v1", api_key="EMPTY", max_retries=0) as client:
        yield client


def asked(image: bytes | None = None) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [{"type": "text", "text": QUESTION}]
    if image is not None:
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": content}]


def test_a_plain_answer_has_the_openai_shape(openai: OpenAI) -> None:
    messages: Any = asked()
    answer = openai.chat.completions.create(model=MODEL, messages=messages, max_tokens=5, temperature=0)
    assert answer.object == "chat.completion" and answer.model == MODEL
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.role == "assistant"
    assert answer.usage is not None and answer.usage.completion_tokens == 5


def test_a_streamed_answer_is_the_plain_one_in_pieces(openai: OpenAI, http: httpx.Client) -> None:
    messages: Any = asked()
    plain = openai.chat.completions.create(model=MODEL, messages=messages, max_tokens=6, temperature=0)
    options: Any = {"include_usage": True}
    stream = openai.chat.completions.create(
        model=MODEL, messages=messages, max_tokens=6, temperature=0, stream=True, stream_options=options
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 6
    body = {"messages": messages, "max_tokens": 2, "stream": True}
    raw = http.post("/v1/chat/completions", json=body)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")


def test_structured_output_is_obeyed(openai: OpenAI) -> None:
    messages: Any = asked()
    body = {"structured_outputs": {"choice": ["left", "right"]}}
    answer = openai.chat.completions.create(model=MODEL, messages=messages, extra_body=body, temperature=0)
    assert answer.choices[0].message.content in ("left", "right")


def test_what_a_part_carries_beside_its_text_goes_no_further(http: httpx.Client) -> None:
    """vLLM would read tensors under these keys whatever the part's type says."""
    part = {"type": "text", "text": QUESTION, "uuid": "u", "video_embeds": "gASV", "image_embeds": "gASV"}
    body = {"max_tokens": 3, "temperature": 0}
    odd = http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": [part]}], **body})
    plain = http.post("/v1/chat/completions", json={"messages": asked(), **body})
    assert odd.json()["choices"][0]["message"] == plain.json()["choices"][0]["message"]


@pytest.mark.parametrize("field", ["structured_outputs", "response_format", "tools", "logit_bias", "stop"])
def test_what_vllm_cannot_read_is_the_clients_fault(field: str, http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json={"messages": asked(), "max_tokens": 2, field: {"x": [5]}})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["request_id"]
    # The client's key and none of vLLM's Python types.
    if field != "structured_outputs":  # A validator of vLLM's raises what names no field.
        assert error["param"].split(".")[0] == field
    assert not re.search(r"Param\b|function-wrap|list\[", f"{error['param']} {error['message']}")


def test_an_unknown_model_is_not_found(openai: OpenAI) -> None:
    messages: Any = asked()
    with pytest.raises(NotFoundError) as refusal:
        openai.chat.completions.create(model="wrong", messages=messages)
    assert (refusal.value.type, refusal.value.param) == ("NotFoundError", "model")


def test_stream_options_need_a_stream(openai: OpenAI) -> None:
    messages: Any = asked()
    options: Any = {"include_usage": True}
    with pytest.raises(BadRequestError) as refusal:
        openai.chat.completions.create(model=MODEL, messages=messages, stream_options=options)
    assert refusal.value.param == "stream_options"


def test_an_image_is_embedded_once_whoever_asks(http: httpx.Client, client: Client) -> None:
    body = {"messages": asked(encode_image(picture(64, 96, seed=77), "png")), "max_tokens": 2, "temperature": 0}
    before = client.figures()

    def ask(_: int) -> list[str]:
        with httpx.Client(base_url=http.base_url, timeout=120) as other:
            answers = [other.post("/v1/chat/completions", json=body).json() for _ in range(5)]
        return [answer["choices"][0]["message"]["content"] for answer in answers]

    with ThreadPoolExecutor(4) as pool:
        answers = {answer for told in pool.map(ask, range(4)) for answer in told}
    seen = "cosmos3_encoder_embed_requests"
    after = eventually(client, lambda figures: figures[seen] == before[seen] + 20)
    assert len(answers) == 1
    for figure in ("cosmos3_encoder_vision_passes", "cosmos3_encoder_vision_embedded"):
        assert after[figure] == before[figure] + 1


def test_vllms_own_metrics_are_told(http: httpx.Client) -> None:
    http.post("/v1/chat/completions", json={"messages": asked(), "max_tokens": 3}).raise_for_status()
    text = http.get("/metrics").text
    labels = 'application="tiny",engine="0",model_name="cosmos3-tiny",replica="\\w{8}"'
    for name in ("num_requests_running", "prompt_tokens_total", "time_to_first_token_seconds_count"):
        assert re.search(rf"^vllm:{name}{{{labels}}} \d", text, re.MULTILINE), name


def test_a_seed_and_a_long_prompt(http: httpx.Client) -> None:
    """Longer than what vLLM computes at a time, which ended an engine without a GPU."""
    messages = [{"role": "user", "content": "hello " * 1300}]
    body = {"messages": messages, "max_tokens": 2, "temperature": 1.0, "seed": 1}
    answers = [http.post("/v1/chat/completions", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].json()["usage"]["prompt_tokens"] > 2048
    assert answers[0].json()["choices"] == answers[1].json()["choices"]
