"""How much a request to the Reasoner may hold: large honest ones pass, and larger ones are refused with their field."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner import bounds
from deployments.ingress.requests.reasoner.attachments import ReadRequest
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.completion import read_completion
from deployments.ingress.requests.reasoner.responses import read_responses
from deployments.ingress.requests.reasoner.tokens import MAX_TOKENS, read_detokenize, read_tokenize

MESSAGES = {"messages": [{"role": "user", "content": "a robot"}]}
LONG = "word " * 128_000


def tool(number: int) -> dict[str, Any]:
    names = [f"field_{field}" for field in range(10)]
    schema = {"type": "object", "properties": {name: {"type": "string", "description": "x" * 80} for name in names}}
    return {"type": "function", "function": {"name": f"tool_{number}", "parameters": schema | {"required": names}}}


def messages(number: int, text: str = "a robot") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": text}]} for _ in range(number)]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": messages(1, LONG)},
        {"messages": messages(200)},
        {"messages": messages(2000, "a robot that walks " * 20)},
        {"tools": [tool(number) for number in range(128)]},
        {"stop": ["\n"] * 16},
        {"logit_bias": {str(number): 1 for number in range(300)}},
        {"allowed_token_ids": list(range(152_000))},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"prompt_logprobs": 5},
        {"seed": 2**63 - 1},
    ],
)
def test_large_honest_chats_pass(fields: dict[str, Any]) -> None:
    assert read_chat(MESSAGES | fields).body["messages"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": messages(bounds.MAX_MESSAGES + 1)}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 5000}]}, "messages"),
        ({"messages": messages(2, "x" * 3 * 2**20)}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "name": "y" * 5 * 2**20}]}, "messages"),
        ({"messages": messages(1, LONG), "prompt_logprobs": 1}, "messages"),
        ({"tools": [tool(0)] * 300}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "x", "description": "y" * 2**21}}]}, "tools"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"stop": "x" * 2000}, "stop"),
        ({"stop": ["x" * 2000]}, "stop"),
        ({"bad_words": ["x"] * 1001}, "bad_words"),
        ({"logit_bias": {str(number): 1 for number in range(1025)}}, "logit_bias"),
        ({"stop_token_ids": [2**31]}, "stop_token_ids.0"),
        ({"stop_token_ids": [1, -1]}, "stop_token_ids.1"),
        ({"stop_token_ids": [True]}, "stop_token_ids.0"),
        ({"stop_token_ids": [1] * 1025}, "stop_token_ids"),
        ({"allowed_token_ids": [1.5]}, "allowed_token_ids.0"),
        ({"allowed_token_ids": [1] * (2**18 + 1)}, "allowed_token_ids"),
        ({"logprob_token_ids": [1] * 129}, "logprob_token_ids"),
        ({"chat_template_kwargs": {"x": "y" * 2**17}}, "chat_template_kwargs"),
        ({"documents": [{"text": "x" * 2**21}]}, "documents"),
        ({"metadata": {str(number): "x" for number in range(65)}}, "metadata"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"min_tokens": 2**63}, "min_tokens"),
        ({"top_k": -(2**63)}, "top_k"),
        ({"priority": 10**20}, "priority"),
        ({"n": 10**20}, "n"),
    ],
)
def test_larger_chats_are_refused_with_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError, match=r"expected|must be") as caught:
        read_chat(MESSAGES | fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("read", "body", "param"),
    [
        (read_completion, {"prompt": "x" * 5 * 2**20}, "prompt"),
        (read_completion, {"prompt": ["x" * 2**20] * 8}, "prompt"),
        (read_completion, {"prompt": [[1] * 2**20] * 4}, "prompt"),
        (read_completion, {"prompt": ["x"] * 65}, "prompt"),
        (read_completion, {"prompt": ["x"] * 64, "n": 8}, "prompt"),
        (read_completion, {"prompt": LONG, "echo": True, "logprobs": 1}, "prompt"),
        (read_completion, {"prompt": ["x" * 30_000] * 5, "echo": True, "logprobs": 1}, "prompt"),
        (read_completion, {"prompt": ["x", "y" * 40_000], "prompt_logprobs": 1}, "prompt"),
        (read_completion, {"prompt": LONG, "prompt_logprobs": 0}, "prompt"),
        (read_completion, {"prompt": "x", "suffix": "y" * 5 * 2**20}, "suffix"),
        (read_completion, {"prompt": "x", "stop": ["x"] * 65}, "stop"),
        (read_responses, {"input": "x" * 5 * 2**20}, "input"),
        (read_responses, {"input": messages(bounds.MAX_MESSAGES + 1)}, "input"),
        (read_responses, {"input": messages(2, "x" * 3 * 2**20)}, "input"),
        (read_responses, {"input": "x", "instructions": "y" * 5 * 2**20}, "instructions"),
        (read_tokenize, {"prompt": "x" * 5 * 2**20}, "prompt"),
        (read_tokenize, {"messages": messages(2, "x" * 3 * 2**20)}, "messages"),
        (read_detokenize, {"tokens": [1] * (MAX_TOKENS + 1)}, "tokens"),
        (read_detokenize, {"tokens": [2**40]}, "tokens"),
    ],
)
def test_the_other_routes(read: Any, body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_completion, {"prompt": LONG}),
        (read_completion, {"prompt": [[1] * 4096] * 64}),
        (read_completion, {"prompt": "x", "echo": True, "logprobs": 1}),
        (read_completion, {"prompt": ["x" * 2000] * 64, "echo": True, "logprobs": 0}),
        (read_completion, {"prompt": [[1] * 1000] * 64, "prompt_logprobs": 1}),
        (read_responses, {"input": LONG}),
        (read_responses, {"input": messages(200)}),
        (read_tokenize, {"prompt": LONG}),
        (read_detokenize, {"tokens": list(range(256_000))}),
    ],
)
def test_large_honest_requests_of_the_other_routes(read: Any, body: dict[str, Any]) -> None:
    assert isinstance(read(body), ReadRequest)


def test_size_counts_names_and_stops_early() -> None:
    assert bounds.larger_than({"x" * 10: 1}, 10) and not bounds.larger_than({"x" * 5: 1}, 10)
    assert bounds.larger_than([[[1]] * 6], 10) and not bounds.larger_than(None, 1)
