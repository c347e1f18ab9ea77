"""Chats through the graph are those of `vllm serve` on the same checkpoint: both vision paths, both families.

The graph has three models that only chat: Nano whose media our Encoder embeds, Nano and Edge that leave them to vLLM.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from deployments.local.launch import RunningGraph
from tests.graph.starting import started, tiny_recipe
from tests.graph.thinking_checkpoint import thinking_checkpoint
from tests.graph.vllm_server import SERVER, reference
from tests.parity.cases import drifting, picture

pytestmark = pytest.mark.slow

PARSER = {"reasoning_parser": "qwen3"}
NANO, NANO_ENGINE, EDGE = "cosmos3-tiny", "cosmos3-tiny-engine", "cosmos3-tiny-edge"
WAYS = (NANO, NANO_ENGINE)
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, "return_token_ids": True}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["cup", "robot"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["name", "count"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}


def uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def image(height: int, width: int, seed: int) -> dict[str, Any]:
    png = encode_image(picture(height, width, seed=seed), "png")
    return {"type": "image_url", "image_url": {"url": uri(png, "image/png")}}


def film(frames: int = 24, fps: float = 8.0, size: tuple[int, int] = (96, 128), seed: int = 6) -> bytes:
    target = io.BytesIO()
    encode_mp4(target, drifting(frames, size, seed=seed), fps)
    return target.getvalue()


VIDEO = {"type": "video_url", "video_url": {"url": uri(film(), "video/mp4")}}
SECOND_VIDEO = {"type": "video_url", "video_url": {"url": uri(film(17, 5.0, (64, 96), 7), "video/mp4")}}
TRANSPARENT = np.dstack([np.zeros((64, 96, 3), np.uint8), np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))])


def asked(*media: dict[str, Any], words: str = "What does the robot hold?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*media, {"type": "text", "text": words}]}]


THREE = [image(96, 160, 5), image(160, 96, 6), image(224, 320, 9)]
FRAMES = {
    "type": "video_url",
    "video_url": {
        "url": "data:video/jpeg;base64,"
        + ",".join(base64.b64encode(encode_image(frame, "jpeg")).decode() for frame in drifting(5, (64, 64), seed=3))
    },
}
FOUR_FPS = {"media_io_kwargs": {"video": {"fps": 4}}}
CASES: dict[str, dict[str, Any]] = {
    "text": {"messages": asked()},
    "several system messages": {
        "messages": [{"role": "system", "content": "Be brief."}, *asked(), {"role": "system", "content": "Be kind."}]
    },
    "an image": {"messages": asked(image(224, 320, 9))},
    "three images": {"messages": asked(*THREE)},
    "small images": {"messages": asked(*THREE), "mm_processor_kwargs": {"size": {"longest_edge": 16384}}},
    "a video": {"messages": asked(VIDEO)},
    "a video at 4 fps": {"messages": asked(VIDEO), **FOUR_FPS},
    "a video at half a frame per second": {"messages": asked(VIDEO), "media_io_kwargs": {"video": {"fps": 0.5}}},
    "a small video": {"messages": asked(VIDEO), "mm_processor_kwargs": {"size": {"longest_edge": 65536}}},
    "frames": {"messages": asked(FRAMES), "media_io_kwargs": {"video": {"fps": 2}}},
    "two videos": {"messages": asked(VIDEO, SECOND_VIDEO)},
    "an image and a video": {"messages": asked(THREE[0], VIDEO)},
    "over two turns": {
        "messages": [*asked(THREE[0]), {"role": "assistant", "content": "a cup"}, *asked(VIDEO, words="And now?")]
    },
    "a schema": {
        "messages": asked(),
        "response_format": {"type": "json_schema", "json_schema": {"name": "found", "schema": SCHEMA}},
        "ignore_eos": False,
        "max_tokens": 60,
    },
    "a regex": {"messages": asked(), "structured_outputs": {"regex": "[a-f]{5}"}, "ignore_eos": False},
    "two choices": {"messages": asked(), "n": 2, "temperature": 1.0, "seed": 7},
    "penalties": {"messages": asked(), "presence_penalty": 1.5, "repetition_penalty": 1.3, "frequency_penalty": 0.5},
    "logprobs": {"messages": asked(THREE[0]), "logprobs": True, "top_logprobs": 3},
    "a bias": {"messages": asked(), "logit_bias": {"100": 50}},
    "a tool that is wanted": {
        "messages": asked(),
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "ignore_eos": False,
        "max_tokens": 60,
    },
    "some tool": {
        "messages": asked(),
        "tools": [TOOL],
        "tool_choice": "required",
        "ignore_eos": False,
        "max_tokens": 80,
    },
}
# Random weights open no thought, so the answer's beginning is given; vLLM ends the thought after so many tokens.
THOUGHT = {
    "messages": [*asked(), {"role": "assistant", "content": "<think>"}],
    "add_generation_prompt": False,
    "continue_final_message": True,
    "chat_template_kwargs": {"enable_thinking": True},
    "thinking_token_budget": 4,
}
THINKING: dict[str, dict[str, Any]] = {
    "a thought": THOUGHT,
    "a thought, then a regex": CASES["a regex"] | THOUGHT,
    "a thought without end": {"messages": asked(), "chat_template_kwargs": {"enable_thinking": True}},
}
OF_EDGE = ("text", "an image", "three images", "a video", "a video at 4 fps", "an image and a video", "a schema")


@pytest.fixture(scope="module")
def thinking(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinking_checkpoint(nano, tmp_path_factory.mktemp("thinking") / "nano")


@pytest.fixture(scope="module")
def understanding(thinking: Path, edge: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """Three models that only chat."""
    data = tmp_path_factory.mktemp("understanding")
    with started(chatting_recipe(data, thinking, edge), data / "log", cpus=4) as running:
        yield running


def chatting_recipe(data: Path, nano: Path, edge: Path) -> dict[str, Any]:
    config = tiny_recipe(data)
    front, model, _ = config["applications"]
    model["args"] |= {"checkpoint": str(nano), "generator": None, "previews": False}
    model["args"]["reasoner"]["server"] = SERVER
    model["args"]["reasoner"]["engine"] |= PARSER
    models = [model]
    for name, application, checkpoint in ((NANO_ENGINE, "engine", nano), (EDGE, "edge", edge)):
        other = copy.deepcopy(model)
        other["name"] = application
        other["args"] |= {"name": name, "checkpoint": str(checkpoint)}
        other["args"]["reasoner"]["vision"] = "engine"
        if name == EDGE:
            # The tiny Edge's tokenizer has no marks of thinking.
            del other["args"]["reasoner"]["engine"]["reasoning_parser"]
        models.append(other)
    for one in models:
        needed = ("Encoder", "Reasoner") if one is model else ("Reasoner",)
        one["deployments"] = [entry for entry in one["deployments"] if entry["name"] in needed]
        for entry in one["deployments"]:
            entry.pop("autoscaling_config", None)
    front["deployments"][0]["user_config"]["models"] = [{"application": one["name"]} for one in models]
    config["applications"] = [front, *models]
    return config


@pytest.fixture(scope="module")
def nano_server(thinking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with reference(thinking, NANO, tmp_path_factory.mktemp("vllm") / "nano", **PARSER) as url:
        yield url


@pytest.fixture(scope="module")
def edge_server(edge: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with reference(edge, EDGE, tmp_path_factory.mktemp("vllm") / "edge") as url:
        yield url


def answered(url: str, model: str, body: dict[str, Any], path: str = "/v1/chat/completions") -> dict[str, Any]:
    answer = httpx.post(f"{url}{path}", json={"model": model, **body}, timeout=180)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(answer: dict[str, Any]) -> list[Any]:
    """What an answer says: tokens of the prompt, and each choice without the names that are drawn."""
    return [answer.get("prompt_token_ids"), answer["usage"], *map(_told, answer["choices"])]


def _told(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    tokens = [token["token"] for token in (choice["logprobs"] or {}).get("content") or []]
    kept = {key: choice[key] for key in ("index", "finish_reason", "stop_reason", "token_ids")}
    return kept | {name: message[name] for name in ("content", "reasoning")} | {"calls": calls, "tokens": tokens}


def pieces(url: str, model: str, body: dict[str, Any]) -> tuple[dict[int, str], dict[int, str | None], dict[str, Any]]:
    """A streamed answer: each choice's text, or arguments of its calls, why it ended, and the usage."""
    texts: dict[int, str] = {}
    reasons: dict[int, str | None] = {}
    usage: dict[str, Any] = {}
    asked_for = {"model": model, **body, "stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=asked_for, timeout=180) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    for chunk in map(json.loads, lines[:-1]):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            calls = choice["delta"].get("tool_calls") or []
            delta = choice["delta"]
            words = f"<{delta['reasoning']}>" if delta.get("reasoning") else delta.get("content") or ""
            added = words + "".join(c["function"].get("arguments", "") for c in calls)
            texts[choice["index"]] = texts.get(choice["index"], "") + added
            reasons[choice["index"]] = choice.get("finish_reason") or reasons.get(choice["index"])
    return texts, reasons, usage


@pytest.mark.parametrize("case", CASES | THINKING)
def test_answers_are_those_of_vllm_serve(case: str, understanding: RunningGraph, nano_server: str) -> None:
    body = GREEDY | (CASES | THINKING)[case]
    expected = answered(nano_server, NANO, body)
    for model in WAYS:
        found = answered(understanding.url, model, body)
        assert said(found) == said(expected), model
        for one, other in zip(found["choices"], expected["choices"], strict=True):
            for token, same in zip(*((c["logprobs"] or {}).get("content") or [] for c in (one, other)), strict=True):
                assert token["logprob"] == pytest.approx(same["logprob"], abs=1e-3)


@pytest.mark.parametrize("case", ["text", "an image and a video", "a schema", "two choices", "some tool", *THINKING])
def test_streamed_answers_are_those_of_vllm_serve(case: str, understanding: RunningGraph, nano_server: str) -> None:
    body = GREEDY | (CASES | THINKING)[case]
    expected = pieces(nano_server, NANO, body)
    for model in WAYS:
        assert pieces(understanding.url, model, body) == expected, model


def test_a_thought_is_told_apart(understanding: RunningGraph) -> None:
    for model in WAYS:
        message = answered(understanding.url, model, GREEDY | THINKING["a thought"])["choices"][0]["message"]
        assert message["reasoning"] and message["content"] and "think>" not in message["content"]
        message = answered(understanding.url, model, GREEDY | THINKING["a thought, then a regex"])["choices"][0][
            "message"
        ]
        assert re.fullmatch("[a-f]{5}", message["content"]) and message["reasoning"]
        # Off unless it is asked for.
        assert answered(understanding.url, model, GREEDY | CASES["text"])["choices"][0]["message"]["reasoning"] is None


def test_a_stop_string_ends_the_answer_where_vllm_ends_it(understanding: RunningGraph, nano_server: str) -> None:
    text = answered(nano_server, NANO, GREEDY | CASES["text"])["choices"][0]["message"]["content"]
    body = GREEDY | CASES["text"] | {"stop": [text[len(text) // 2 :][:3]]}
    expected = answered(nano_server, NANO, body)
    assert expected["choices"][0]["finish_reason"] == "stop"
    for model in WAYS:
        assert said(answered(understanding.url, model, body)) == said(expected)


@pytest.mark.parametrize("case", OF_EDGE)
def test_edges_answers_are_those_of_vllm_serve(case: str, understanding: RunningGraph, edge_server: str) -> None:
    body = GREEDY | CASES[case]
    assert said(answered(understanding.url, EDGE, body)) == said(answered(edge_server, EDGE, body))


@pytest.mark.parametrize(
    "options",
    [
        {"mm_processor_kwargs": {"fps": 4, "do_sample_frames": True}},
        {"media_io_kwargs": {"video": {"fps": 4.0}}},
        {"mm_processor_kwargs": {"num_frames": 12}},
        {"media_io_kwargs": {"video": {"num_frames": 12}}},
    ],
)
def test_c48_a_video_is_sampled_once(options: dict[str, Any], understanding: RunningGraph, nano_server: str) -> None:
    """Whichever field says it; three seconds at 4 fps are twelve frames."""
    expected = answered(nano_server, NANO, GREEDY | CASES["a video at 4 fps"])
    for model in WAYS:
        assert said(answered(understanding.url, model, GREEDY | {"messages": asked(VIDEO)} | options)) == said(expected)


def test_a_video_as_slow_as_it_is_read_is_not_sampled_again(understanding: RunningGraph) -> None:
    """vLLM keeps every frame of such a video when it decodes it, and then drops half of them."""
    slow = {"type": "video_url", "video_url": {"url": uri(film(8, 4.0), "video/mp4")}}
    answers = [answered(understanding.url, model, GREEDY | {"messages": asked(slow)} | FOUR_FPS) for model in WAYS]
    assert said(answers[0]) == said(answers[1])
    pads = [token for token in answers[0]["prompt_token_ids"] if answers[0]["prompt_token_ids"].count(token) > 20]
    # 8 frames make 4 temporal patches; at 96x128 each has 3 x 4 tokens.
    assert len(pads) == 4 * 12


def test_a_transparent_picture_is_seen_on_white(understanding: RunningGraph, nano_server: str) -> None:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(TRANSPARENT, "RGBA").save(target, "PNG")
    part = {"type": "image_url", "image_url": {"url": uri(target.getvalue(), "image/png")}}
    body = GREEDY | {"messages": asked(part)}
    expected = answered(nano_server, NANO, body)
    for model in WAYS:
        assert said(answered(understanding.url, model, body)) == said(expected)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "A robot is", "max_tokens": 8, "temperature": 0, "echo": True}),
        ("/v1/completions", {"prompt": ["A robot", "A cup"], "max_tokens": 4, "temperature": 0, "logprobs": 2}),
        ("/v1/completions", {"prompt": [5, 6, 7], "max_tokens": 4, "temperature": 0}),
        ("/v1/responses", {"input": "What is a robot?", "max_output_tokens": 8, "temperature": 0}),
        (
            "/v1/responses",
            {
                "input": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "What is it?"},
                            {
                                "type": "input_image",
                                "detail": "auto",
                                "image_url": THREE[0]["image_url"]["url"],
                            },
                        ],
                    }
                ],
                "max_output_tokens": 8,
                "temperature": 0,
            },
        ),
        ("/tokenize", {"prompt": "A robot is", "return_token_strs": True}),
        ("/tokenize", {"messages": asked(THREE[1], VIDEO)}),
        ("/detokenize", {"tokens": [5, 6, 7]}),
    ],
)
def test_other_routes_answer_as_vllm_serve(
    path: str, body: dict[str, Any], understanding: RunningGraph, nano_server: str
) -> None:
    expected = _without_names(answered(nano_server, NANO, body, path))
    for model in WAYS:
        named = {"model": model} if "model" in expected else {}
        assert _without_names(answered(understanding.url, model, body, path)) == expected | named


def _without_names(value: Any) -> Any:
    """Without what is drawn or timed: ids, times and prints; log probabilities rounded."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in ("id", "created", "created_at", "system_fingerprint")}
        return {name: _without_names(inner) for name, inner in kept.items()}
    if isinstance(value, list):
        return [_without_names(inner) for inner in value]
    return round(value, 2) if isinstance(value, float) else value


def test_a_completion_is_constrained_beside_a_parser_of_thoughts(understanding: RunningGraph) -> None:
    """vLLM's own completions are not: they wait for the end of a thought."""
    body = {"prompt": "A robot", "structured_outputs": {"regex": "[a-f]{5}"}, "max_tokens": 12}
    for model in WAYS:
        text = answered(understanding.url, model, body, "/v1/completions")["choices"][0]["text"]
        assert re.fullmatch("[a-f]{5}", text), model


@pytest.mark.parametrize("options", [{"mm_processor_kwargs": {"num_frames": 1}}, {}])
def test_a_video_of_one_frame(options: dict[str, Any], understanding: RunningGraph) -> None:
    short = VIDEO if options else {"type": "video_url", "video_url": {"url": uri(film(1), "video/mp4")}}
    answers = [answered(understanding.url, model, GREEDY | {"messages": asked(short)} | options) for model in WAYS]
    assert said(answers[0]) == said(answers[1])
    assert answered(understanding.url, EDGE, GREEDY | {"messages": asked(short)} | options)["choices"]


def test_generations_are_refused(understanding: RunningGraph) -> None:
    answer = httpx.post(f"{understanding.url}/v1/images/generations", json={"prompt": "x", "model": NANO})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    entry = httpx.get(f"{understanding.url}/v1/models/{NANO}").json()
    assert entry["abilities"] == {"chat": True, "modes": [], "sound": False}


@pytest.mark.parametrize(
    ("url", "status"), [("http://127.0.0.1:9/x.png", 422), ("file:///etc/hostname", 400), ("ftp://x/y", 400)]
)
@pytest.mark.parametrize("kind", ["image_url", "video_url"])
def test_what_may_not_be_fetched(url: str, status: int, kind: str, understanding: RunningGraph) -> None:
    for model in (*WAYS, EDGE):
        body = {"model": model, "messages": asked({"type": kind, kind: {"url": url}})}
        answer = httpx.post(f"{understanding.url}/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, f"messages.0.content.0.{kind}")
