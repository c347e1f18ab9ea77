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
from deployments.ingress.routes import video_jobs
from deployments.jobs.job import EventKind, Job, JobEvent, Page
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


class ListedJobs(StubJobs):
    """Jobs that are listed as they are stored."""

    async def page(self, kind: str, api_key: str, after: str | None, limit: int, order: str) -> Page:
        return Page(self.stored[:limit], False)

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        return {}


def test_a_page_that_is_large_ends_early(facts: ModelFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = ListedJobs()
    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)
    ask(stub, "/v1/videos", "POST", json=VIDEO)
    jobs.stored = [replace(jobs.stored[0], id=f"video_{number}") for number in range(4)]
    whole = ask(stub, "/v1/videos").json()
    assert (len(whole["data"]), whole["has_more"]) == (4, False)
    size = len(json.dumps(whole["data"][0]))
    for most, number in ((1, 1), (size + 1, 2), (4 * size, 4)):
        monkeypatch.setattr(video_jobs, "MAX_PAGE_BYTES", most)
        page = ask(stub, "/v1/videos").json()
        assert (page["data"], page["has_more"]) == (whole["data"][:number], number < 4)
        assert page["last_id"] == whole["data"][number - 1]["id"]
