"""Video jobs as the routes submit them, over jobs that never run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.errors import ApiError
from deployments.wire.media_store import MediaStore
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

VIDEO = {"prompt": "a robot", "size": "64x64", "num_frames": 5}


@pytest.fixture
def jobs() -> StubJobs:
    return StubJobs()


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path, jobs: StubJobs) -> StubGraph:
    return StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)


def test_a_stored_job_is_answered_even_if_its_position_cannot_be_read(stub: StubGraph, jobs: StubJobs) -> None:
    assert ask(stub, "/v1/videos", "POST", json=VIDEO).json()["queue_position"] == 3
    jobs.failure = ApiError(503, "the database is away")
    answer = ask(stub, "/v1/videos", "POST", json=VIDEO)
    assert (answer.status_code, answer.json()["queue_position"]) == (200, None)
    assert answer.json()["id"] == jobs.stored[-1].id and not jobs.discarded


def test_the_job_of_a_client_that_hangs_up_before_the_answer_is_discarded(stub: StubGraph, jobs: StubJobs) -> None:
    jobs.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        ask(stub, "/v1/videos", "POST", json=VIDEO)
    assert jobs.discarded == [jobs.stored[-1].id]
