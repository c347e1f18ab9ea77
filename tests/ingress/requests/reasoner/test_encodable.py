"""Text in requests to the Reasoner that UTF-8 cannot encode."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.completion import read_completion
from deployments.ingress.requests.reasoner.responses import read_responses
from deployments.ingress.requests.reasoner.tokens import read_tokenize

MESSAGES = {"messages": [{"role": "user", "content": "a robot"}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "a\ud800"},
        {"stop": ["é", "\udfff"]},
        {"user": "\ud83d"},
        {"tools": [{"function": {"parameters": {"\ud800": 1}}}]},
        {"structured_outputs": {"choice": ["\udc00"]}},
        {"\ud800": 1},
    ],
)
@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_chat, MESSAGES),
        (read_completion, {"prompt": "x"}),
        (read_responses, {"input": "x"}),
        (read_tokenize, {"prompt": "x"}),
    ],
)
def test_it_is_refused_wherever_it_is(read: Any, body: dict[str, Any], fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="lone surrogates") as caught:
        read({**body, **fields})
    assert (caught.value.status, caught.value.param) == (400, next(iter(fields)))


def test_other_text_is_taken() -> None:
    assert read_chat(MESSAGES | {"stop": ["é🦾", "\x00"]}).body["stop"] == ["é🦾", "\x00"]
