"""Jobs as the routes show them, over jobs that never run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import pytest
from openapi_schema_validator import OAS31Validator

from cosmos3_core.resolving.facts import ModelFacts
from deployments.jobs.job import EventKind, JobEvent
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.wire.media_store import MediaStore
from tests.ingress.documentation.documents import described
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

VIDEO = {"prompt": "a robot", "size": "64x64", "num_frames": 5}


@pytest.mark.parametrize(("answer", "status"), [("ok", 200), ("error", 422)])
def test_c21_the_status_of_a_failed_job(
    answer: Literal["ok", "error"], status: int, facts: ModelFacts, tmp_path: Path
) -> None:
    jobs = StubJobs()
    settings = FrontSettings(guardrails=GuardrailPolicy(mode="off"), failed_job_answer=answer)
    stub = StubGraph([served_card(facts)], settings=settings, media=MediaStore(tmp_path.as_uri()), jobs=jobs)
    ask(stub, "/v1/videos", "POST", json=VIDEO)
    error = {"code": 422, "message": "no"}
    jobs.stored = [replace(jobs.stored[0], status="failed", error=error)]
    found = ask(stub, f"/v1/videos/{jobs.stored[0].id}")
    assert (found.status_code, found.json()["status"], found.json()["error"]) == (status, "failed", error)


class EventfulJobs(StubJobs):
    """Jobs to which everything has happened that can happen."""

    async def last_event(self, job_id: str, kind: str = "") -> JobEvent | None:
        return None

    async def watch(self, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
        for number, kind in enumerate(get_args(EventKind)):
            yield JobEvent(number, kind, {"text": "line\nbreak", "number": number}, 0.0)


def test_every_event_conforms_to_the_description_of_the_route(facts: ModelFacts, tmp_path: Path) -> None:
    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=EventfulJobs())
    job = ask(stub, "/v1/videos", "POST", json=VIDEO).json()["id"]
    answer = ask(stub, f"/v1/videos/{job}/events?previews=true")
    content = described()["paths"]["/v1/videos/{id}/events"]["get"]["responses"]["200"]["content"]
    schema = content[answer.headers["content-type"].partition(";")[0]]["schema"]
    events = [
        dict(line.split(": ", 1) for line in event.splitlines())
        for event in answer.text.replace("\r\n", "\n").strip().split("\n\n")
    ]
    assert [event["event"] for event in events] == list(get_args(EventKind))
    for event in events:
        OAS31Validator(schema).validate(event)
        json.loads(event["data"])
    assert not OAS31Validator(schema).is_valid({"event": "other", "data": "{}"})
    assert not OAS31Validator(schema).is_valid({"data": "{}"})
