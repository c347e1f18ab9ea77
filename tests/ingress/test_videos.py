"""Jobs as the routes hand them in, over a graph that keeps them and makes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import pytest

from cosmos3_core.checkpoint import Checkpoint
from deployments.ingress.app import create_app
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.jobs.job import Job
from deployments.model import ModelCard
from deployments.settings import FrontSettings
from deployments.wire.media_store import MediaStore

VIDEO = {"prompt": "a robot", "size": "64x64", "num_frames": 5}
IMAGE = {"prompt": "a robot", "size": "64x64", "seed": 1}


@dataclass
class StubJobs:
    """Keeps what is submitted; `trouble` comes afterwards."""

    trouble: BaseException | None = None
    kept: list[Job] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    async def submit(self, job: Job) -> Job:
        self.kept.append(job)
        if job.kind == "image":
            raise ApiError(418, "known")
        return job

    async def get(self, job_id: str) -> Job | None:
        return next((job for job in self.kept if job.id == job_id), None)

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        if self.trouble is not None:
            raise self.trouble
        return {job.id: 3 for job in jobs}

    def discard(self, job: Job) -> None:
        self.discarded.append(job.id)


@dataclass
class StubGraph:
    """As much of the graph as the routes use."""

    served: list[ServedCard]
    media: MediaStore
    settings: FrontSettings = field(default_factory=lambda: FrontSettings(guardrails="off"))
    jobs: StubJobs = field(default_factory=StubJobs)

    def models(self) -> list[ServedCard]:
        return self.served

    def missing(self) -> list[str]:
        return []


@pytest.fixture
def stub(nano: Path, tmp_path: Path) -> StubGraph:
    facts = Checkpoint.find(str(nano)).facts
    card = ModelCard("nano", "tiny:nano", facts, chats=True, generates=True, decoder="decoder", max_model_len=None)
    return StubGraph([ServedCard(card, "app")], MediaStore(tmp_path.as_uri()))


def post(stub: StubGraph, path: str, fields: dict[str, Any], **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(cast(Graph, stub)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post(path, json=fields, headers=named)

    return asyncio.run(asked())


def test_a_job_that_is_kept_is_told_of_though_its_position_cannot_be_read(stub: StubGraph) -> None:
    assert post(stub, "/v1/videos", VIDEO).json()["queue_position"] == 3
    stub.jobs.trouble = ApiError(503, "the database is away")
    answer = post(stub, "/v1/videos", VIDEO)
    assert (answer.status_code, answer.json()["queue_position"]) == (200, None)
    assert answer.json()["id"] == stub.jobs.kept[-1].id and not stub.jobs.discarded


@pytest.mark.parametrize(("answer", "status"), [("ok", 200), ("error", 422)])
def test_c21_the_status_of_a_failed_job(answer: Literal["ok", "error"], status: int, stub: StubGraph) -> None:
    stub.settings = FrontSettings(guardrails="off", failed_job_answer=answer)
    post(stub, "/v1/videos", VIDEO)
    error = {"code": 422, "message": "no"}
    stub.jobs.kept = [replace(stub.jobs.kept[0], status="failed", error=error)]

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(cast(Graph, stub)))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get(f"/v1/videos/{stub.jobs.kept[0].id}")

    found = asyncio.run(asked())
    assert (found.status_code, found.json()["status"], found.json()["error"]) == (status, "failed", error)


def test_a_client_that_hangs_up_before_it_hears_the_id_has_no_job(stub: StubGraph) -> None:
    stub.jobs.trouble = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        post(stub, "/v1/videos", VIDEO)
    assert stub.jobs.discarded == [stub.jobs.kept[-1].id]


def test_how_many_images_is_part_of_what_an_idempotency_key_stands_for(stub: StubGraph) -> None:
    for count in (1, 2, 2):
        post(stub, "/v1/images/generations", IMAGE | {"n": count}, idempotency_key="k")
    one, *two = [{(job.idempotency_key, job.fingerprint) for job in stub.jobs.kept[:1]}, *_in_pairs(stub.jobs.kept[1:])]
    assert two[0] == two[1] and one.isdisjoint(two[0])
    assert {key for key, _ in one} <= {key for key, _ in two[0]}, "the same key, for another request"
    post(stub, "/v1/images/generations", IMAGE, idempotency_key="k/0")
    assert stub.jobs.kept[-1].idempotency_key not in {job.idempotency_key for job in stub.jobs.kept[:-1]}


def _in_pairs(jobs: list[Job]) -> list[set[tuple[str | None, str]]]:
    known = [(job.idempotency_key, job.fingerprint) for job in jobs]
    return [set(known[place : place + 2]) for place in range(0, len(known), 2)]
