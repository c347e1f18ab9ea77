"""Requests whose texts are checked, and those that are not (C32, C33), on every route that generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.decoding.decoder import MediaDecoder
from deployments.settings.front import FrontSettings
from deployments.wire import guardrails
from deployments.wire.guardrails import GuardrailsClient
from deployments.wire.media_store import MediaStore
from tests.guardrails import Handle, guardrails_of
from tests.ingress.requests.reading import PNG, uri
from tests.ingress.stubs import CompletedJobs, StubGraph, ask, served_card

POLICY = {"mode": "policy", "domain_name": "av", "image": uri(PNG)}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/videos": {"num_frames": 5},
    "/v1/videos/sync": {"num_frames": 5},
    "/v1/images/generations": {},
    "/v1/images/edits": {"image": uri(PNG)},
    "/v1/actions/generations": POLICY,
}
SAFE, UNSAFE = {"prompt": "a robot"}, {"prompt": "a grimflax"}
KIND = "content_policy_violation"


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGraph:
    handle = Handle(guardrails_of(tmp_path))
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: handle)
    return StubGraph(
        [served_card(facts)],
        settings=policy("on"),
        media=MediaStore(tmp_path.as_uri()),
        jobs=CompletedJobs(),
        guardrails=GuardrailsClient("checks"),
    )


def policy(mode: str, application: str | None = "checks") -> FrontSettings:
    return FrontSettings.model_validate({"guardrails": {"mode": mode, "application": application}})


def post(stub: StubGraph, path: str, **fields: Any) -> Any:
    return ask(stub, path, "POST", json=BODIES[path] | fields)


@pytest.mark.parametrize("path", BODIES)
def test_an_unsafe_prompt_is_blocked_and_makes_no_job(stub: StubGraph, path: str) -> None:
    answer = post(stub, path, **UNSAFE)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (400, 400, KIND, "prompt")
    assert error["message"].startswith("Input was blocked by Cosmos3 guardrails.") and "grimflax" not in answer.text
    assert stub.jobs.stored == [] and stub.media is not None
    assert [stub.media.files(folder) for folder in ("inputs", "outputs")] == [[], []]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", ["guardrails", "use_guardrails", "enable_safety_checker"])
def test_a_request_without_guardrails_is_not_checked(stub: StubGraph, path: str, name: str) -> None:
    answer = post(stub, path, **UNSAFE, extra_params={name: False})
    assert (answer.status_code, answer.headers["x-guardrails"]) == (200, "skipped"), answer.text
    (job,) = stub.jobs.stored
    assert job.checked is None and job.guarded == "skipped"


@pytest.mark.parametrize("path", BODIES)
def test_a_safe_prompt_waits_for_the_verdict_on_its_frames(stub: StubGraph, path: str) -> None:
    answer = post(stub, path, **SAFE, negative_prompt="fog", extra_params={"guardrails": True})
    assert (answer.status_code, answer.headers["x-guardrails"]) == (200, "pending"), answer.text
    (job,) = stub.jobs.stored
    assert job.checked is not None and job.checked.application == "checks"
    assert [(check.of, check.outcome.value) for check in job.checked.checks] == [
        ("prompt", "allowed"),
    ]


def test_a_negative_prompt_may_name_what_is_not_wanted(stub: StubGraph) -> None:
    assert post(stub, "/v1/videos", **SAFE, negative_prompt="a grimflax").status_code == 200


@pytest.mark.parametrize(("field", "guidance"), [("negative_prompt", 0.5), ("system_prompt", 6)])
def test_every_text_that_may_be_shown_is_checked(stub: StubGraph, field: str, guidance: float) -> None:
    answer = post(stub, "/v1/videos", **SAFE, guidance_scale=guidance, extra_params={field: "a grimflax"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, KIND, field)


def test_a_blocked_prompt_costs_no_decoding(stub: StubGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise AssertionError("a medium was decoded")

    monkeypatch.setattr(MediaDecoder, "apart", fail)
    assert post(stub, "/v1/images/edits", **UNSAFE).status_code == 400


def test_what_is_off_is_off_and_says_so(stub: StubGraph) -> None:
    stub.settings = policy("off")
    for fields in (UNSAFE, UNSAFE | {"extra_params": {"guardrails": True}}):
        answer = post(stub, "/v1/videos", **fields)
        assert answer.status_code == 200 and answer.headers["x-guardrails"] == "off" == answer.json()["guardrails"]
        assert answer.json()["guardrail_checks"] == []


def test_what_is_required_cannot_be_switched_off(stub: StubGraph) -> None:
    stub.settings = policy("required")
    answer = post(stub, "/v1/videos", **SAFE, use_guardrails=False)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "use_guardrails")
    assert post(stub, "/v1/videos", **UNSAFE).status_code == 400
    assert post(stub, "/v1/videos", **SAFE).headers["x-guardrails"] == "pending"


@pytest.mark.parametrize("mode", ["on", "required"])
def test_guardrails_that_cannot_be_asked_refuse_and_skip_nothing(stub: StubGraph, mode: str) -> None:
    stub.settings, stub.guardrails = policy(mode), None
    answer = post(stub, "/v1/videos", **SAFE)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "not deployed" in answer.json()["error"]["message"] and stub.jobs.stored == []


def test_without_any_guardrails_a_request_has_to_do_without(stub: StubGraph) -> None:
    stub.settings = policy("on", None)
    answer = post(stub, "/v1/videos", **SAFE)
    assert answer.status_code == 400 and "send guardrails: false" in answer.json()["error"]["message"]
    assert post(stub, "/v1/videos", **SAFE, guardrails=False).headers["x-guardrails"] == "skipped"


def test_with_and_without_guardrails_are_two_requests_for_one_key(stub: StubGraph) -> None:
    headers = {"Idempotency-Key": "key"}
    for choice in (True, False, True):
        ask(stub, "/v1/videos", "POST", json={**BODIES["/v1/videos"], **SAFE, "guardrails": choice}, headers=headers)
    with_them, without, again = (job.fingerprint for job in stub.jobs.stored)
    assert with_them == again != without
