"""The action route: its answers in JSON and msgpack, over jobs that are done at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from openapi_schema_validator import OAS31Validator

from cosmos3_core.action_statistics import ActionStatistics, Normalisation
from cosmos3_core.outputs import action_object
from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.documentation.schemas import components
from deployments.ingress.requests.numpy_msgpack import MEDIA_TYPE, pack, unpack
from deployments.jobs.job import Job, JobEvent
from deployments.wire.media_store import MediaStore
from tests.ingress.requests.observations import PARAMETERS, PIXELS, URI, envelope
from tests.ingress.stubs import StubGraph, StubJobs, ask, served_card

JSON = {"content-type": "application/json"}
ROWS = (np.arange(36).reshape(4, 9) / 36).astype(np.float32)


@dataclass
class FinishedJobs(StubJobs):
    """Jobs that are done as soon as they are watched.

    Attributes:
        error: the error of the jobs; None completes them.
        statistics: those of the model.
    """

    error: dict[str, Any] | None = None
    statistics: ActionStatistics | None = None

    async def submit(self, job: Job) -> Job:
        action = action_object(ROWS, job.request["fields"]["mode"], 1, self.statistics)
        result = {"action": action, "stage_seconds": {"encode": 1.0, "denoise": 0.25}}
        self.stored.append(replace(job, status="completed", result=result))
        return job

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncIterator[JobEvent]:
        if self.error is not None:
            yield JobEvent(1, "failed", {"error": self.error}, 0.0)
        yield JobEvent(2, "done", {}, 0.0)


@pytest.fixture
def jobs() -> FinishedJobs:
    return FinishedJobs()


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path, jobs: FinishedJobs) -> StubGraph:
    return StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)


def post(stub: StubGraph, **options: Any) -> httpx.Response:
    return ask(stub, "/v1/actions/generations", "POST", **options)


def post_packed(stub: StubGraph, fields: dict[str, Any], **headers: str) -> httpx.Response:
    return post(stub, content=pack(fields), headers={"content-type": MEDIA_TYPE} | headers)


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_in_physical_units_too(stub: StubGraph, jobs: FinishedJobs, packed: bool) -> None:
    jobs.statistics = ActionStatistics(Normalisation.MEANSTD, offset=(1.0,) * 9, scale=(2.0,) * 9)
    asked = envelope(images={"front": URI})
    answer = post_packed(stub, asked, accept=MEDIA_TYPE) if packed else post(stub, json=asked)
    found = unpack(answer.content) if packed else answer.json()
    action = found["data"][0]["action"]
    assert np.asarray(action["values"]).tolist() == ROWS.tolist()
    assert action["physical"] == {"data": (1 + 2 * ROWS).tolist(), "units": "dataset", "method": "meanstd"}
    if not packed:
        OAS31Validator(
            {"$ref": "#/components/schemas/ActionsAnswer", "components": {"schemas": components()}}
        ).validate(found)


def test_an_answer_in_json(stub: StubGraph) -> None:
    answer = post(stub, json=envelope(images={"front": URI}, state=[1.0] * 9, arm="left") | {"request_id": "r1"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["id"], found["object"], found["model"]) == ("r1", "action.generation", "nano")
    (prediction,) = found["data"]
    assert (prediction["index"], prediction["input_index"]) == (0, 0)
    assert prediction["action"] == {
        "type": "continuous",
        "values": ROWS.tolist(),
        "shape": [4, 9],
        "dtype": "float32",
        "raw_action_dim": 9,
        "action_mode": "policy",
        "domain_id": 1,
    }
    assert answer.headers["x-ignored-fields"] == "input.observation.arm"
    assert (answer.headers["x-model"], answer.headers["x-inference-time-s"]) == ("nano", "1.250")
    schema = {"$ref": "#/components/schemas/ActionsAnswer", "components": {"schemas": components()}}
    OAS31Validator(schema).validate(found)


def test_the_job_is_discarded(stub: StubGraph, jobs: FinishedJobs) -> None:
    post(stub, json=envelope())
    (job,) = jobs.stored
    assert jobs.discarded == [job.id]
    assert (job.detached, job.service_class, job.kind) == (False, "interactive", "video")
    assert job.shown["prompt"] == "pick up the cup"


def test_the_answers_default_id(stub: StubGraph, jobs: FinishedJobs) -> None:
    answer = post(stub, json=envelope()).json()
    (job,) = jobs.stored
    assert answer["id"] == job.id.replace("video_gen_", "act_")


@pytest.mark.parametrize("output_format", [None, "numpy", "list"])
def test_an_answer_in_msgpack(stub: StubGraph, output_format: str | None) -> None:
    answer = post_packed(stub, envelope(images={"front": PIXELS}) | {"runtime": {"output_format": output_format}})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    values = unpack(answer.content)["data"][0]["action"]["values"]
    assert isinstance(values, list if output_format == "list" else np.ndarray)
    assert np.array_equal(np.asarray(values, np.float32), ROWS)
    if output_format != "list":
        marker = msgpack.unpackb(answer.content)["data"][0]["action"]["values"]
        assert (marker[b"dtype"], marker[b"shape"]) == ("<f4", [4, 9])


def test_an_accept_header_for_msgpack(stub: StubGraph) -> None:
    answer = post(stub, json=envelope(), headers={"accept": "text/html, application/x-msgpack;q=0.9"})
    assert np.array_equal(unpack(answer.content)["data"][0]["action"]["values"], ROWS)
    assert post(stub, json=envelope() | {"runtime": {"output_format": "numpy"}}).json()["data"][0]["action"]["values"]


def test_a_form(stub: StubGraph, mp4: bytes) -> None:
    data = {"prompt": "drive", "num_frames": "5", "extra_params": json.dumps({"domain_name": "av"})}
    answer = post(stub, data=data, files={"input_reference": ("av.mp4", mp4, "video/mp4")})
    assert answer.json()["data"][0]["action"]["action_mode"] == "inverse_dynamics"


@pytest.mark.parametrize(
    ("options", "status", "param"),
    [
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 400, None),
        ({"content": b"\xc1", "headers": {"content-type": MEDIA_TYPE}}, 400, "body"),
        ({"content": pack([1]), "headers": {"content-type": MEDIA_TYPE}}, 400, "body"),
        ({"content": b"", "headers": {"content-type": MEDIA_TYPE, "content-length": "99999999"}}, 413, "body"),
        ({"json": envelope(images={"front": {"base64": "AAAA"}})}, 400, "input.observation.images.front"),
        ({"json": envelope({"domain_name": "mars"})}, 400, "domain_name"),
        ({"content": b'{"input": {"task": "x", "images": {"\\ud800": 5}}}', "headers": JSON}, 400, "input.images.?"),
        ({"json": envelope({"domain_name": None})}, 400, "domain_name"),
        ({"json": envelope({"action": [[0.0] * 9] * 4})}, 400, "action"),
        ({"json": envelope(images={"front": URI}, state=[1.0] * 8)}, 400, "input.observation.state"),
        ({"json": envelope({"generate_sound": True})}, 400, "generate_sound"),
        ({"json": envelope({"action_chunk_size": 6})}, 400, "action_chunk_size"),
        ({"json": envelope({"action_mode": "inverse_dynamics"})}, 400, "input.observation.images.front"),
        ({"json": {"input": {"task": "x"}, "parameters": PARAMETERS}}, 400, "input.observation.images"),
        ({"json": envelope() | {"model": "other"}}, 400, "model"),
        ({"json": envelope({"webhook_url": "https://example.com"})}, 400, "webhook_url"),
    ],
)
def test_refusals_of_the_route(
    stub: StubGraph, jobs: FinishedJobs, options: dict[str, Any], status: int, param: str | None
) -> None:
    answer = post(stub, **options)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert not jobs.stored


def test_a_generation_that_fails(stub: StubGraph, jobs: FinishedJobs) -> None:
    jobs.error = {"code": 500, "message": "no"}
    answer = post_packed(stub, envelope(images={"front": PIXELS}))
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "no")
    assert len(jobs.discarded) == 1
