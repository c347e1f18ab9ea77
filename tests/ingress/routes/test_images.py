"""Images as the route submits them, over jobs that are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos3_core.resolve import ModelFacts
from deployments.ingress.errors import ApiError
from deployments.jobs.job import Job
from deployments.wire.media_store import MediaStore
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

IMAGE = {"prompt": "a robot", "size": "64x64", "seed": 1}


@dataclass
class RefusedJobs(StubJobs):
    """Jobs that are noted and then refused, so that the route does not wait for them."""

    async def submit(self, job: Job) -> Job:
        self.stored.append(job)
        raise ApiError(418, "refused")


def test_the_number_of_images_is_part_of_a_request_with_an_idempotency_key(facts: ModelFacts, tmp_path: Path) -> None:
    jobs = RefusedJobs()
    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)

    def post(count: int, key: str) -> None:
        ask(stub, "/v1/images/generations", "POST", json=IMAGE | {"n": count}, headers={"Idempotency-Key": key})

    for count in (1, 2, 2):
        post(count, "k")
    one, *two = [{(job.idempotency_key, job.fingerprint) for job in jobs.stored[:1]}, *_in_pairs(jobs.stored[1:])]
    assert two[0] == two[1] and one.isdisjoint(two[0])
    assert {key for key, _ in one} <= {key for key, _ in two[0]}, "the same key, for another request"
    post(1, "k/0")
    assert jobs.stored[-1].idempotency_key not in {job.idempotency_key for job in jobs.stored[:-1]}


def _in_pairs(jobs: list[Job]) -> list[set[tuple[str | None, str]]]:
    known = [(job.idempotency_key, job.fingerprint) for job in jobs]
    return [set(known[place : place + 2]) for place in range(0, len(known), 2)]
