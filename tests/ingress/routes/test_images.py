"""Images as the routes submit and answer them, over jobs that are refused or done at once."""

from __future__ import annotations

import base64
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.media.stills import encode_image
from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.errors import ApiError
from deployments.jobs.job import Job
from deployments.wire.media_store import MediaStore
from tests.ingress.documentation.documents import conforms
from tests.ingress.requests.reading import PNG, uri
from tests.ingress.stubs import CompletedJobs, StubGraph, StubJobs, ask, served_card
from tests.parity.cases import picture

IMAGE = {"prompt": "a robot", "size": "64x64", "seed": 1}
EDITS = "/v1/images/edits"
WIDE = encode_image(picture(90, 160, seed=2), "png")


@dataclass
class RefusedJobs(StubJobs):
    """Jobs that are noted and then refused, so that the route does not wait for them."""

    async def submit(self, job: Job) -> Job:
        self.stored.append(job)
        raise ApiError(418, "refused")


@pytest.fixture
def jobs() -> CompletedJobs:
    return CompletedJobs()


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path, jobs: CompletedJobs) -> StubGraph:
    return StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)


def edited(stub: StubGraph, **fields: str) -> httpx.Response:
    """The answer to a form as OpenAI's client sends it."""
    form = {"prompt": "make it red", "seed": "5"} | fields
    return ask(stub, EDITS, "POST", data=form, files={"image": ("upload", WIDE, "image/png")})


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


def test_an_edit_answers_as_images_do(stub: StubGraph, jobs: CompletedJobs) -> None:
    answer = edited(stub, n="2", moderation="low")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    conforms(found, "ImagesAnswer")
    assert found["size"] == "512x288", "the picture's aspect, its longer side 512"
    assert [image["seed"] for image in found["data"]] == [5, 6]
    assert [base64.b64decode(image["b64_json"]) for image in found["data"]] == [WIDE, WIDE]
    assert (answer.headers["x-model"], answer.headers["x-ignored-fields"]) == ("nano", "moderation")
    assert [(job.kind, job.request["fields"]["mode"]) for job in jobs.stored] == [("image", "image2image")] * 2
    assert jobs.discarded == [job.id for job in jobs.stored]


def test_an_edit_with_a_size_as_files(stub: StubGraph) -> None:
    one = edited(stub, response_format="file", size="320x192", output_format="jpeg")
    assert (one.headers["content-type"], one.content) == ("image/jpeg", WIDE)
    several = edited(stub, response_format="file", n="2")
    assert zipfile.ZipFile(io.BytesIO(several.content)).namelist() == ["image_0.png", "image_1.png"]
    assert edited(stub, size="320x192").json()["size"] == "320x192"


def test_an_edit_in_json(stub: StubGraph) -> None:
    body = {"prompt": "make it red", "image": {"image_url": uri(WIDE)}}
    assert ask(stub, EDITS, "POST", json=body).json()["size"] == "512x288"


@pytest.mark.parametrize(
    ("files", "status", "param"),
    [
        ([], 422, "image"),
        ([("image[]", WIDE), ("image[]", PNG)], 400, "image"),
        ([("image", WIDE), ("mask", PNG)], 400, "mask"),
        ([("image", b"no picture")], 400, "image"),
    ],
)
def test_edits_that_are_refused(
    stub: StubGraph, jobs: CompletedJobs, files: list[tuple[str, bytes]], status: int, param: str
) -> None:
    parts: list[Any] = [("prompt", (None, "make it red")), *((name, ("upload", content)) for name, content in files)]
    answer = ask(stub, EDITS, "POST", files=parts)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert not jobs.stored
