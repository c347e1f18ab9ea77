"""Video jobs as the routes submit them, over jobs that never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.app import create_app
from deployments.ingress.errors import ApiError
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.settings.intake import IntakeSettings
from deployments.wire.media_store import MediaStore, read_media
from tests.ingress.requests.reading import PNG
from tests.ingress.stubs import StubGraph, StubJobs, ask, ask_app, served_card

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


def test_a_large_upload_is_stored_from_the_disk_and_then_held_no_longer(stub: StubGraph, jobs: StubJobs) -> None:
    large = PNG + bytes(3 * 2**20)
    app = create_app(stub.as_graph())
    answer = ask_app(app, "/v1/videos", "POST", data=VIDEO, files={"input_reference": ("a.png", large)})
    assert answer.status_code == 200, answer.text
    assert read_media(jobs.stored[-1].request["media"]["image"]) == large
    assert (app.state.intake.memory.held, app.state.intake.disk.held) == (0, 0)


def test_it_is_the_same_request_from_the_disk_and_from_memory(stub: StubGraph, jobs: StubJobs) -> None:
    large = PNG + bytes(3 * 2**20)
    headers = {"Idempotency-Key": "a"}
    for spill_bytes in (0, 10 * 2**20):
        stub.settings = FrontSettings(
            guardrails=GuardrailPolicy(mode="off"), intake=IntakeSettings(spill_bytes=spill_bytes)
        )
        files = {"input_reference": ("a.png", large)}
        assert ask(stub, "/v1/videos", "POST", data=VIDEO, files=files, headers=headers).status_code == 200
    first, second = (job.fingerprint for job in jobs.stored)
    assert first == second != ""


def test_a_request_for_which_there_is_no_room_is_refused_with_the_time_to_come_again(stub: StubGraph) -> None:
    app = create_app(stub.as_graph())
    others = app.state.intake.holding("others")
    others.take(stub.settings.intake.each_replica_bytes)
    app.state.intake.holding("more").take(stub.settings.intake.each_replica_bytes - 100)
    answer = ask_app(app, "/v1/videos", "POST", json=VIDEO)
    error = answer.json()["error"]
    assert (answer.status_code, answer.headers["retry-after"], error["code"]) == (429, "5", 429)
    others.release()
    assert ask_app(app, "/v1/videos", "POST", json=VIDEO).status_code == 200


def test_a_client_that_stops_sending_is_told_so(stub: StubGraph) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b'{"prompt": '
        await asyncio.sleep(60)

    stub.settings = FrontSettings(guardrails=GuardrailPolicy(mode="off"), intake=IntakeSettings(idle_s=0.2))
    headers = {"content-type": "application/json"}
    answer = ask(stub, "/v1/videos", "POST", content=stops(), headers=headers)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (408, "false")
