"""How guardrails are asked: verdicts, replicas that die, and guardrails that do not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import DeploymentUnavailableError

from cosmos3_core.guardrails.record import GuardrailCheck, Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked
from deployments.wire import guardrails
from deployments.wire.guardrails import GuardrailsClient, GuardrailsUnavailable, JobGuardrails
from tests.guardrails import Handle, guardrails_of


def client_of(monkeypatch: pytest.MonkeyPatch, behind: Any, patience_s: float = 10.0) -> GuardrailsClient:
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(behind))
    monkeypatch.setattr(guardrails, "RETRY_PAUSE_S", 0.01)
    return GuardrailsClient("checks", patience_s)


def test_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(monkeypatch, guardrails_of(tmp_path))

    async def asked() -> None:
        (said,) = await client.check_texts("r", {"prompt": "a robot"})
        assert said.outcome is Outcome.ALLOWED
        with pytest.raises(ContentBlocked, match="Input was blocked by Cosmos3 guardrails"):
            await client.check_texts("r", {"prompt": "a robot", "negative_prompt": "a grimflax"})
        assert await client.look_at_frames()
        assert (await client.check_frames("j", np.zeros((1, 8, 8, 3), np.uint8))).frames is None
        with pytest.raises(ContentBlocked, match="Output was blocked by Cosmos3 guardrails"):
            await client.check_frames("j", np.full((1, 8, 8, 3), 255, np.uint8))

    asyncio.run(asked())


class Failing:
    """Guardrails that fail in some calls, one after another, before they allow everything."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    async def check_texts(self, request_id: str, texts: dict[str, str]) -> tuple[GuardrailCheck, ...]:
        if self.errors:
            raise self.errors.pop(0)
        return ()


def test_another_replica_is_asked_when_one_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(ActorDiedError(), ActorDiedError())
    assert asyncio.run(client_of(monkeypatch, failing).check_texts("r", {"prompt": "x"})) == ()
    assert failing.errors == []


def test_no_failure_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    unavailable = cast(Any, DeploymentUnavailableError)("Guardrails")
    with pytest.raises(GuardrailsUnavailable, match="application checks"):
        asyncio.run(client_of(monkeypatch, Failing(unavailable)).check_texts("r", {"prompt": "x"}))
    with pytest.raises(RuntimeError, match="out of memory"):
        asyncio.run(client_of(monkeypatch, Failing(RuntimeError("out of memory"))).check_texts("r", {"prompt": "x"}))
    dying = Failing(*[ActorDiedError() for _ in range(100)])
    with pytest.raises(GuardrailsUnavailable, match="did not answer within"):
        asyncio.run(client_of(monkeypatch, dying, patience_s=0.2).check_texts("r", {"prompt": "x"}))


class Away:
    """Guardrails that never answer about frames, and for some calls still say that they run.

    Attributes:
        present: for how many calls.
    """

    def __init__(self, present: int) -> None:
        self.present = present

    async def look_at_frames(self) -> bool:
        if self.present == 0:
            await asyncio.Event().wait()
        self.present -= 1
        return True

    async def check_frames(self, job_id: str, frames: Any) -> None:
        await asyncio.Event().wait()


def test_only_guardrails_that_still_run_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardrails, "PRESENCE_S", 0.05)
    away = Away(present=2)
    client = client_of(monkeypatch, away, patience_s=60)
    with pytest.raises(GuardrailsUnavailable, match=r"did not answer within 0\.05 s"):
        asyncio.run(asyncio.wait_for(client.check_frames("j", np.zeros((1, 8, 8, 3), np.uint8)), 20))
    assert away.present == 0
    with pytest.raises(GuardrailsUnavailable, match=r"did not answer within 0\.05 s"):
        asyncio.run(asyncio.wait_for(client.look_at_frames(), 20))
    busy = client_of(monkeypatch, Away(present=10**6), patience_s=0.3)
    with pytest.raises(GuardrailsUnavailable, match=r"did not answer within 0\.3 s"):
        asyncio.run(asyncio.wait_for(busy.check_frames("j", np.zeros((1, 8, 8, 3), np.uint8)), 20))


def test_what_a_job_keeps() -> None:
    check = GuardrailCheck(guardrail="blocklist", sha256="0", of="prompt", outcome=Outcome.ALLOWED)
    kept = JobGuardrails("checks", (check,))
    assert JobGuardrails.of_json(kept.to_json()) == kept
