"""What the Reasoner's routes make of vLLM's answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.errors import MAX_MESSAGE
from deployments.wire.reasoner_calls import ReasonerAnswer, ReasonerCall
from tests.ingress.stubs import StubGraph, ask, served_card


@dataclass
class RefusingReasoner(StubGraph):
    """A graph whose Reasoner refuses everything."""

    message: str = ""
    status: int = 400

    async def ask(self, application: str, call: ReasonerCall) -> ReasonerAnswer:
        error = {"message": self.message, "type": "BadRequestError", "param": "input.0", "code": self.status}
        return ReasonerAnswer(self.status, {"error": error})

    async def ask_stream(self, application: str, call: ReasonerCall) -> AsyncGenerator[ReasonerAnswer | str, None]:
        yield await self.ask(application, call)


@pytest.mark.parametrize("body", [{"input": ["x"]}, {"input": [{}], "stream": False}])
def test_a_refusal_by_vllm_is_as_long_as_ours(body: dict[str, object], facts: ModelFacts) -> None:
    """It lists every type that an item of `input` could have been."""
    words = "input.0: Input should be a valid dictionary; " * 100
    answer = ask(RefusingReasoner([served_card(facts)], message=words), "/v1/responses", "POST", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], len(error["message"])) == (400, "input.0", MAX_MESSAGE)
    assert words.startswith(error["message"]) and error["request_id"]


@pytest.mark.parametrize(("status", "told"), [(503, "5"), (429, "5"), (400, None), (500, None)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_busy_engine_says_when_to_come_back(status: int, told: str | None, stream: bool, facts: ModelFacts) -> None:
    graph = RefusingReasoner([served_card(facts)], message="the engine is busy", status=status)
    body = {"messages": [{"role": "user", "content": "x"}], "stream": stream}
    answer = ask(graph, "/v1/chat/completions", "POST", json=body)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, told)
