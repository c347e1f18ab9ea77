"""Bodies of the action route: envelopes of observations, and the fields of the video routes."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.media.stills import decode_image
from cosmos3_core.modes import Mode
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.action_request import ActionCall, read_actions
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.form import Upload
from tests.ingress.requests.observations import BASE64, PARAMETERS, PIXELS, PNG, URI, envelope


def read(fields: dict[str, Any]) -> ActionCall:
    return read_actions(Body(fields))


def refused(fields: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(fields)
    assert caught.value.status == 400
    assert caught.value.message.startswith(caught.value.param or "?")
    caught.value.response("id")
    return caught.value


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
    assert read(envelope({"action_chunk_size": None, "action_horizon": 8})).generation.request.action_chunks()[0] == 8


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
def test_places_of_the_instruction(given: dict[str, Any]) -> None:
    call = read({"input": given | {"image": URI}, "parameters": PARAMETERS})
    assert call.generation.request.prompt == "do it"


def test_ignored_fields_are_named() -> None:
    seen = {"images": {"front": URI}, "session_id": "s", "step_id": 3, "reset": True, "gripper": 1}
    fields = envelope({"window": 3, "extra_params": {"more": 1}}, **seen)
    fields |= {"runtime": {"output_format": "numpy", "cuda_graph": "auto"}, "user": "me"}
    call = read(fields)
    assert call.generation.ignored == (
        "user",
        "input.observation.gripper",
        "runtime.cuda_graph",
        "parameters.window",
        "parameters.extra_params.more",
    )
    assert call.output_format == "numpy"


@pytest.mark.parametrize(
    "state", [[0.5] * 9, [[0.5] * 9], [[[0.5] * 9]], np.full(9, 0.5), np.full((1, 9), 0.5, np.float32), [["0.5"] * 9]]
)
def test_the_robots_state_in_any_form(state: Any) -> None:
    request = read(envelope(images={"front": URI}, state=state)).generation.request
    assert request.state is not None
    assert np.array_equal(request.state, np.full((1, 9), 0.5, np.float32))


def test_places_of_the_state() -> None:
    inner, outer = [[0.25] * 9] * 2, [0.5] * 9
    seen = {"images": {"front": URI}, "state": inner}
    both = read({"input": {"task": "x", "state": outer, "observation": seen}, "parameters": PARAMETERS}).generation
    assert both.request.state is not None and both.request.state.tolist() == [outer]
    assert both.names["state"] == "input.state" and both.ignored == ()
    observed = read(envelope({"history_length": 2, "use_state": True}, **seen)).generation
    assert observed.request.state is not None and observed.request.state.tolist() == inner
    assert observed.names["state"] == "input.observation.state"
    given = read(envelope({"state": outer})).generation
    assert given.request.state is not None and given.names["state"] == "state"


def test_a_request_of_rlinf() -> None:
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
    assert (request.raw_action_dim, request.action_chunks()[0], request.fps, request.width) == (10, 16, 20.0, 832)
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
    assert call.generation.request.action_chunks()[0] == 4
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
        (envelope({"lora": {"path": "/x"}}), "lora", "clients cannot name files"),
        (envelope({"depth": {"control": BASE64}}), "depth", "POST /v1/videos"),
        (envelope({"audio_reference": URI}), "audio_reference", "POST /v1/videos"),
        (envelope(images={"a": URI}, state={"arm": [0.0]}), "input.observation.state", "rows of numbers"),
        (envelope(images={"a": URI}, state=5), "input.observation.state", "row"),
        (envelope(images={"a": URI}, state=[["x"]]), "input.observation.state", "rows of numbers"),
        (envelope(images={"a": URI}, state=np.zeros((3, 1, 9))), "input.observation.state", "[rows, width]"),
        (envelope(images={"a": URI}, state=np.zeros(2**17)), "input.observation.state", "65536"),
        (envelope(images={"a": URI}, state=[np.nan]), "input.observation.state", "numbers from"),
        (envelope({"use_state": True}), "use_state", "missing"),
        (envelope({"use_state": False, "state": [0.0]}), "use_state", "is given"),
        (envelope({"history_length": 2, "state": [0.0]}), "history_length", "expected 1"),
        (envelope({"history_length": 1}), "history_length", "expected 0"),
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
        (envelope(images={"a": {"base64": "A A!"}}), "input.observation.images.a", "not valid base64"),
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
    assert "65536" in refused(envelope({"x": [np.zeros(2**15, np.int8)] * 3})).message


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
