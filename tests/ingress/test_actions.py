"""The action route: what it makes of observations as SGLang's clients send them, and how it answers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from starlette.routing import Route

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.media.files import decode_image, encode_image
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.modes import Mode
from cosmos3_core.outputs import action_object
from cosmos3_core.resolve import ModelFacts
from deployments.ingress.app import create_app
from deployments.ingress.documentation.schemas import components
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.action_request import ActionCall, read_actions
from deployments.ingress.requests.body import Body, Upload
from deployments.ingress.requests.numpy_msgpack import MEDIA_TYPE, pack, unpack
from deployments.ingress.routes.actions import create_actions
from deployments.jobs.job import Job, JobEvent
from deployments.model import ModelCard
from deployments.settings import FrontSettings
from deployments.wire.media_store import MediaStore
from tests.parity.cases import picture

PIXELS = picture(32, 48, seed=1)
PNG = encode_image(PIXELS, "png")
BASE64 = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"
PARAMETERS = {"domain_name": "av", "action_chunk_size": 4, "num_inference_steps": 2, "seed": 7}
JSON = {"content-type": "application/json"}
ROWS = (np.arange(36).reshape(4, 9) / 36).astype(np.float32)


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    encode_mp4(path, [picture(32, 48, seed=index) for index in range(5)], 10.0)
    return path.read_bytes()


def envelope(parameters: dict[str, Any] | None = None, **observation: Any) -> dict[str, Any]:
    seen = observation or {"images": {"front": {"base64": BASE64, "mime_type": "image/png"}}}
    return {"input": {"task": "pick up the cup", "observation": seen}, "parameters": PARAMETERS | (parameters or {})}


def read(fields: dict[str, Any]) -> ActionCall:
    return read_actions(Body(fields))


def refused(fields: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(fields)
    assert caught.value.status == 400
    assert caught.value.message.startswith(caught.value.param or "?")
    caught.value.response("id")
    return caught.value


# Reading.


def test_an_observation() -> None:
    call = read({"model": "nano", "request_id": "r1"} | envelope())
    generation, request = call.generation, call.generation.request
    assert (request.mode, request.prompt, request.image) == (Mode.POLICY, "pick up the cup", PNG)
    assert (request.domain_name, request.action_chunk_size, request.num_inference_steps) == ("av", 4, 2)
    assert (request.seed, generation.model, generation.ignored) == (7, "nano", ())
    assert (call.request_id, call.output_format) == ("r1", None)


def test_parameters_are_the_fields_of_the_video_routes() -> None:
    parameters = {"steps": "3", "action_view_point": "concat_view", "extra_params": {"guardrails": False}}
    generation = read(envelope(parameters | {"num_inference_steps": None})).generation
    assert (generation.request.num_inference_steps, generation.request.view_point) == (3, "concat_view")
    assert generation.guardrails is False
    assert read(envelope({"action_chunk_size": None, "action_horizon": 8})).generation.request.action_chunk() == 8


@pytest.mark.parametrize(
    "picture_of",
    [
        {"base64": BASE64, "mime_type": "image/png"},
        {"b64_json": BASE64},
        {"base64": URI},
        URI,
        [URI],
        {"image_url": URI},
        PNG,
        [PNG],
    ],
)
@pytest.mark.parametrize("place", ["images", "image", "input_reference"])
@pytest.mark.parametrize("outside", [True, False])
def test_forms_of_a_picture(picture_of: Any, place: str, outside: bool) -> None:
    seen = {place: {"front": picture_of} if place == "images" else picture_of}
    given = {"task": "x", **seen} if outside else {"task": "x", "observation": seen}
    request = read({"input": given, "parameters": PARAMETERS}).generation.request
    assert (request.mode, request.image) == (Mode.POLICY, PNG)


@pytest.mark.parametrize("array", [PIXELS, PIXELS[None], np.asfortranarray(PIXELS), PIXELS[::-1][::-1]])
def test_pixels_are_kept(array: Any) -> None:
    request = read(envelope(images={"front": array})).generation.request
    assert np.array_equal(decode_image(request.image), PIXELS)


@pytest.mark.parametrize("place", ["video", "input_reference"])
def test_a_video_makes_inverse_dynamics(place: str, mp4: bytes) -> None:
    request = read(envelope(**{place: {"base64": base64.b64encode(mp4).decode()}})).generation.request
    assert (request.mode, request.video) == (Mode.INVERSE_DYNAMICS, mp4)
    request = read(envelope({"action_mode": "policy"}, **{place: mp4})).generation.request
    assert (request.mode, request.video) == (Mode.POLICY, mp4)


@pytest.mark.parametrize(
    "given",
    [
        {"task": "do it", "prompt": "not this", "observation": {"prompt": "nor this"}},
        {"prompt": ["do it"], "observation": {"task": "not this"}},
        {"observation": {"prompt": "do it", "task": "not this"}},
        {"task": "", "observation": {"task": "do it"}},
    ],
)
def test_where_the_instruction_may_stand(given: dict[str, Any]) -> None:
    call = read({"input": given | {"image": URI}, "parameters": PARAMETERS})
    assert call.generation.request.prompt == "do it"


def test_what_is_passed_over_is_named() -> None:
    seen = {"images": {"front": URI}, "state": [0.1] * 8, "session_id": "s", "step_id": 3, "reset": True, "gripper": 1}
    fields = envelope({"window": 3, "extra_params": {"more": 1}}, **seen)
    fields |= {"runtime": {"output_format": "numpy", "cuda_graph": "auto"}, "user": "me"}
    call = read(fields)
    assert call.generation.ignored == (
        "input.observation.state",
        "user",
        "input.observation.gripper",
        "runtime.cuda_graph",
        "parameters.window",
        "parameters.extra_params.more",
    )
    assert call.output_format == "numpy"
    assert read(envelope(images={"a": URI}, state=np.zeros(8))).generation.ignored == ("input.observation.state",)
    assert read({"input": {"task": "x", "image": URI, "state": [1]}, "parameters": PARAMETERS}).generation.ignored == (
        "input.state",
    )


def test_what_robots_lab_sends() -> None:
    """RLinf's client: everything in `input` and `parameters`, as lists of one."""
    fields = {
        "input": {"prompt": ["pick up the cup."], "input_reference": [URI]},
        "parameters": {
            "action_mode": "policy",
            "raw_action_dim": 10,
            "num_frames": 17,
            "action_fps": 20.0,
            "action_view_point": "ego_view",
            "fps": 20,
            "num_inference_steps": 30,
            "seed": 1140,
            "height": 480,
            "width": 832,
            "domain_name": "libero",
        },
        "runtime": {"response_format": "envelope", "output_format": "numpy"},
    }
    call = read(fields)
    request = call.generation.request
    assert (request.raw_action_dim, request.action_chunk(), request.fps, request.width) == (10, 16, 20.0, 832)
    assert (call.generation.ignored, call.output_format) == ((), "numpy")


def test_fields_without_an_envelope() -> None:
    """NVIDIA's cookbook: a form as for the video routes."""
    fields = {
        "prompt": "drive",
        "num_frames": "5",
        "extra_params": json.dumps({"domain_name": "av", "guardrails": False}),
    }
    call = read_actions(Body(fields, {"input_reference": [Upload("x.png", PNG)]}))
    assert (call.generation.request.mode, call.generation.request.image) == (Mode.POLICY, PNG)
    assert call.generation.request.action_chunk() == 4
    with pytest.raises(ApiError, match="prompt is missing"):
        read({"domain_name": "av", "image": URI})


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"input": None}, "input", "dictionary"),
        ({"input": {}}, "input.task", "missing"),
        (envelope({"parameters": 3}) | {"parameters": [1]}, "parameters", "dictionary"),
        (envelope() | {"model": 3}, "model", "string"),
        (envelope() | {"request_id": "x" * 129}, "request_id", "128"),
        (envelope() | {"request_id": "\ud800"}, "request_id", "unicode"),
        (envelope() | {"runtime": {"response_format": "raw"}}, "runtime.response_format", "envelope"),
        (envelope() | {"runtime": {"output_format": "torch"}}, "runtime.output_format", "numpy"),
        (envelope({"action_mode": "forward_dynamics"}), "action_mode", "POST /v1/videos"),
        (envelope({"mode": "text2video"}), "mode", "POST /v1/videos"),
        (envelope({"action_mode": "magic"}), "action_mode", "policy"),
        (envelope({"num_inference_steps": 500}), "num_inference_steps", "200"),
        (envelope({"fps": 20, "action_fps": 30}), "action_fps", "one rate"),
        (envelope({"candidate_count": 4}), "candidate_count", "expected 1"),
        (envelope({"lora": "x"}), "lora", "adapters"),
        (envelope({"noise": [[0.0]]}), "noise", "seed"),
        (envelope(images={"a": URI}, noise=np.zeros(3)), "input.observation.noise", "seed"),
        (envelope(image_path="/etc/passwd"), "input.observation.image_path", "file or an address"),
        (envelope(images={"a": URI, "b": URI}), "input.observation.images.b", "one picture"),
        (envelope(images={"a": URI}, video=URI), "input.observation.video", "one picture"),
        (envelope(images={"a": [URI, URI]}), "input.observation.images.a", "2 observations"),
        (envelope(images={"a": np.zeros((3, 4, 4, 3), np.uint8)}), "input.observation.images.a", "3 observations"),
        (envelope(images={"a": np.zeros((4, 4, 3), np.float32)}), "input.observation.images.a", "uint8"),
        (envelope(images={"a": np.zeros((4, 4), np.uint8)}), "input.observation.images.a", "uint8"),
        (envelope(images={"a": np.zeros((4, 4, 4), np.uint8)}), "input.observation.images.a", "cannot be used"),
        (envelope(images={"a": np.zeros((0, 4, 3), np.uint8)}), "input.observation.images.a", "cannot be used"),
        (envelope(images={"a" * 10**6: 3}), f"input.observation.images.{'a' * 64}", "a number"),
        (envelope(images={"a": 3}), "input.observation.images.a", "a number"),
        (envelope(images={"a": {"base64": "A A="}}), "input.observation.images.a", "not valid base64"),
        (envelope(images={"a": {"base64": 3}}), "input.observation.images.a", "expected text"),
        (envelope(images={"a": "https://example.com/x.png"}), "input.observation.images.a", "not fetched"),
        (envelope(images={"a": "/etc/passwd"}), "input.observation.images.a", "data URI"),
        (envelope(images=[URI]), "input.observation.images", "dictionary"),
        (envelope(input_reference=b"nothing"), "input.observation.input_reference", "cannot be read"),
        ({"input": {"task": ["a", "b"], "image": URI}}, "input.task", "2 instructions"),
        ({"input": {"task": 3, "image": URI}}, "input.task", ""),
        ({"input": {"task": "\ud800", "image": URI}}, "input.task", ""),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], param: str, says: str) -> None:
    error = refused(fields)
    assert (error.param or "").split(".str")[0] == param
    assert says in error.message
    assert len(error.message) < 400


def test_later_refusals_name_the_field() -> None:
    generation = read(envelope(images={"front": b"no picture"})).generation
    assert generation.names["image"] == "input.observation.images.front"


def test_an_array_among_the_parameters() -> None:
    assert read(envelope({"guidance_interval": np.array([0, 500])})).generation.request.guidance_interval == (0, 500)
    assert read(envelope({"extra_params": {"x": [np.zeros(2)]}})).generation.ignored == ("parameters.extra_params.x",)
    assert "65536" in refused(envelope({"x": np.zeros(2**17, np.uint8)})).message


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(URI), st.binary(max_size=5)
)
KEYS = st.sampled_from(
    (
        *("input", "observation", "images", "image", "video", "task", "prompt", "state", "noise", "base64", "mode"),
        *("parameters", "runtime", "seed", "x", "\ud800", "input_reference", "extra_params", "request_id"),
    )
)
VALUES = st.recursive(
    LEAVES | st.just(np.zeros((2, 2), np.uint8)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_body(fields: dict[str, Any], given: dict[str, Any]) -> None:
    for body in (fields, fields | {"input": given}, fields | {"input": {"task": "x", "observation": given}}):
        try:
            found = read(body)
        except ApiError as error:
            assert error.status == 400
            error.response("id")
        else:
            ", ".join(found.generation.ignored).encode("ascii")


# Answering.


@dataclass
class StubJobs:
    """Jobs that are done as soon as they are watched."""

    failure: dict[str, Any] | None = None
    kept: dict[str, Job] = field(default_factory=dict)
    discarded: list[str] = field(default_factory=list)

    async def submit(self, job: Job) -> Job:
        action = action_object(ROWS, job.request["fields"]["mode"], 1)
        result = {"action": action, "stage_seconds": {"encode": 1.0, "denoise": 0.25}}
        self.kept[job.id] = replace(job, status="completed", result=result)
        return job

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncIterator[JobEvent]:
        if self.failure is not None:
            yield JobEvent(1, "failed", {"error": self.failure}, 0.0)
        yield JobEvent(2, "done", {}, 0.0)

    async def get(self, job_id: str) -> Job | None:
        return self.kept.get(job_id)

    def discard(self, job: Job) -> None:
        self.discarded.append(job.id)


@dataclass
class StubGraph:
    """As much of the graph as the route uses."""

    served: list[ServedCard]
    settings: FrontSettings
    media: MediaStore
    jobs: StubJobs = field(default_factory=StubJobs)

    def models(self) -> list[ServedCard]:
        return self.served

    def missing(self) -> list[str]:
        return []


@pytest.fixture(scope="module")
def facts(nano: Path) -> ModelFacts:
    return Checkpoint.find(str(nano)).facts


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path) -> StubGraph:
    card = ModelCard("nano", "tiny:nano", facts, chats=True, generates=True, decoder="decoder", max_model_len=None)
    settings = FrontSettings(guardrails="off")
    return StubGraph([ServedCard(card, "app")], settings, MediaStore(tmp_path.as_uri()))


def post(stub: StubGraph, **options: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        app = create_app(cast(Graph, stub))
        app.router.routes.append(Route("/actions", create_actions, methods=["POST"]))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.post("/actions", **options)

    return asyncio.run(asked())


def post_packed(stub: StubGraph, fields: dict[str, Any], **headers: str) -> httpx.Response:
    return post(stub, content=pack(fields), headers={"content-type": MEDIA_TYPE} | headers)


def test_an_answer_in_json(stub: StubGraph) -> None:
    answer = post(stub, json=envelope(images={"front": URI}, state=[1.0]) | {"request_id": "r1"})
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
    assert answer.headers["x-ignored-fields"] == "input.observation.state"
    assert (answer.headers["x-model"], answer.headers["x-inference-time-s"]) == ("nano", "1.250")
    schema = {"$ref": "#/components/schemas/ActionsAnswer", "components": {"schemas": components()}}
    OAS31Validator(schema).validate(found)


def test_the_job_is_let_go(stub: StubGraph) -> None:
    post(stub, json=envelope())
    (job,) = stub.jobs.kept.values()
    assert stub.jobs.discarded == [job.id]
    assert (job.detached, job.service_class, job.kind) == (False, "interactive", "video")
    assert job.shown["prompt"] == "pick up the cup"


def test_an_id_of_our_own(stub: StubGraph) -> None:
    answer = post(stub, json=envelope()).json()
    (job,) = stub.jobs.kept
    assert answer["id"] == job.replace("video_gen_", "act_")


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


def test_who_asks_for_msgpack_gets_it(stub: StubGraph) -> None:
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
        ({"json": envelope({"generate_sound": True})}, 400, "generate_sound"),
        ({"json": envelope({"action_chunk_size": 6})}, 400, "action_chunk_size"),
        ({"json": envelope({"action_mode": "inverse_dynamics"})}, 400, "input.observation.images.front"),
        ({"json": {"input": {"task": "x"}, "parameters": PARAMETERS}}, 400, "input.observation.images"),
        ({"json": envelope() | {"model": "other"}}, 400, "model"),
        ({"json": envelope({"webhook_url": "https://example.com"})}, 400, "webhook_url"),
    ],
)
def test_refusals_of_the_route(stub: StubGraph, options: dict[str, Any], status: int, param: str | None) -> None:
    answer = post(stub, **options)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert not stub.jobs.kept


def test_a_generation_that_fails(stub: StubGraph) -> None:
    stub.jobs.failure = {"code": 500, "message": "no"}
    answer = post_packed(stub, envelope(images={"front": PIXELS}))
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "no")
    assert len(stub.jobs.discarded) == 1
