"""Jobs as the routes show them, over jobs that never run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.settings import FrontSettings
from deployments.wire.media_store import MediaStore
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

VIDEO = {"prompt": "a robot", "size": "64x64", "num_frames": 5}


@pytest.mark.parametrize(("answer", "status"), [("ok", 200), ("error", 422)])
def test_c21_the_status_of_a_failed_job(
    answer: Literal["ok", "error"], status: int, facts: ModelFacts, tmp_path: Path
) -> None:
    jobs = StubJobs()
    settings = FrontSettings(guardrails="off", failed_job_answer=answer)
    stub = StubGraph([served_card(facts)], settings=settings, media=MediaStore(tmp_path.as_uri()), jobs=jobs)
    ask(stub, "/v1/videos", "POST", json=VIDEO)
    error = {"code": 422, "message": "no"}
    jobs.stored = [replace(jobs.stored[0], status="failed", error=error)]
    found = ask(stub, f"/v1/videos/{jobs.stored[0].id}")
    assert (found.status_code, found.json()["status"], found.json()["error"]) == (status, "failed", error)
