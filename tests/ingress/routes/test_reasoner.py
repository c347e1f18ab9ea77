"""What the Reasoner's routes make of vLLM's answers."""

from __future__ import annotations

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

    async def ask(self, application: str, call: ReasonerCall) -> ReasonerAnswer:
        error = {"message": self.message, "type": "BadRequestError", "param": "input.0", "code": 400}
        return ReasonerAnswer(400, {"error": error})


@pytest.mark.parametrize("body", [{"input": ["x"]}, {"input": [{}], "stream": False}])
def test_a_refusal_by_vllm_is_as_long_as_ours(body: dict[str, object], facts: ModelFacts) -> None:
    """It lists every type that an item of `input` could have been."""
    words = "input.0: Input should be a valid dictionary; " * 100
    answer = ask(RefusingReasoner([served_card(facts)], message=words), "/v1/responses", "POST", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], len(error["message"])) == (400, "input.0", MAX_MESSAGE)
    assert words.startswith(error["message"]) and error["request_id"]
