"""Generations of the video and image routes: modes, defaults, the job's record, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.errors import RequestError
from cosmos3_core.modes import Mode
from deployments.ingress.errors import ApiError
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import Generation, read_edit, read_image, read_video
from tests.ingress.requests.reading import JPEG, PNG, edit, refused, refused_edit, refused_image, uri, video


def test_defaults() -> None:
    found = video()
    assert found.request.mode is Mode.TEXT_TO_VIDEO
    assert found.request.model_fields_set == {"mode", "prompt"}
    assert (found.model, found.guardrails, found.size, found.seconds) == (None, None, None, "4")
    assert (found.ignored, found.return_stage_metrics, found.request.seed) == ((), False, 42)


def test_an_automatic_size_is_not_recorded() -> None:
    assert video({"size": "auto"}).size is None and video({"size": "100x90"}).size == "100x90"


def test_values_for_the_jobs_record() -> None:
    found = video({"size": "320x192", "seconds": 2, "model": "cosmos", "return_stage_metrics": "true"})
    assert (found.size, found.seconds, found.model, found.return_stage_metrics) == ("320x192", "2", "cosmos", True)


def test_missing_prompt() -> None:
    with pytest.raises(ApiError, match="prompt is missing"):
        read_video(Body({}))
    with pytest.raises(ApiError, match="prompt is missing"):
        read_image({})
    assert video({"prompt": " "}).request.prompt == " "


def test_explicit_mode_must_fit_the_inputs(mp4: bytes) -> None:
    assert video({"mode": "i2v"}, image=PNG).request.mode is Mode.IMAGE_TO_VIDEO
    assert "with a reference video this route does video2video" in refused({"mode": "i2v"}, video=mp4).message
    assert refused({"model_mode": "text2video"}, image=PNG).param == "model_mode"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"seconds": 0.5, "fps": 1},
            "is 0.5, which is less than one frame at 1 frames per second; expected at least 1",
        ),
        ({"seconds": "0.01"}, "is 0.01, which is less than one frame at 24 frames per second; expected at least 0.04"),
        (
            {"seconds": 60, "fps": 20},
            "is 60, which is more than 400 frames at 20 frames per second; expected at most 20",
        ),
        (
            {"seconds": "401", "video_params": {"fps": 1}},
            "more than 400 frames at 1 frames per second; expected at most 400",
        ),
        ({"seconds": "1e200"}, "is 1e+200, which is more than 400 frames"),
    ],
)
def test_a_length_says_which_would_be_right(fields: dict[str, Any], says: str) -> None:
    assert says in refused(fields).message and refused(fields).param == "seconds"


def test_one_frame_is_still_a_video() -> None:
    assert video({"num_frames": 1, "seconds": 1, "fps": 8}).request.mode is Mode.TEXT_TO_VIDEO


FORWARD = {
    "action_mode": "forward_dynamics",
    "domain_name": "av",
    "action_chunk_size": 60,
    "image_size": 480,
    "view_point": "ego_view",
    "action": [[0.1] * 9] * 60,
    "guardrails": False,
}


@pytest.mark.parametrize("as_text", [True, False])
def test_forward_dynamics(as_text: bool) -> None:
    form = {"num_frames": "61", "fps": "10", "size": "832x480", "flow_shift": "10.0", "seed": "0", "seconds": "4"}
    found = video(form | {"extra_params": json.dumps(FORWARD) if as_text else FORWARD}, input_reference=JPEG)
    request = found.request
    assert (request.mode, request.image, request.num_frames) == (Mode.FORWARD_DYNAMICS, JPEG, 61)
    assert request.action is not None
    assert request.action.shape == (60, 9)
    assert request.action.dtype == np.float32
    assert (request.resolution, request.action_chunks()[0], found.guardrails, found.ignored) == ("480", 60, False, ())


def test_inverse_dynamics_and_policy(mp4: bytes) -> None:
    fields = {"domain_name": "av", "action_chunk_size": "60", "raw_action_dim": "9"}
    inverse = video({"extra_params": fields | {"action_mode": "inverse_dynamics"}}, input_reference=mp4).request
    assert (inverse.mode, inverse.video, inverse.raw_action_dim) == (Mode.INVERSE_DYNAMICS, mp4, 9)
    policy = video({"action_mode": "wam", "seconds": "4", **fields}, input_reference=PNG).request
    assert (policy.mode, policy.image, policy.num_frames) == (Mode.POLICY, PNG, None)


POLICY = {"mode": "policy", "domain_name": "av", "image": uri(PNG)}


@pytest.mark.parametrize("agreeing", [{}, {"use_state": "true"}, {"history_length": "2", "use_state": True}])
def test_a_policys_state(agreeing: dict[str, Any]) -> None:
    found = video(POLICY | {"extra_params": {"state": [[0.5] * 9, [1] * 9]} | agreeing})
    assert found.request.state is not None and found.ignored == ()
    assert found.request.state.tolist() == [[0.5] * 9, [1] * 9]
    row = video(POLICY | {"state": json.dumps([0.5] * 9)}).request.state
    assert row is not None and row.shape == (1, 9)


def test_no_state() -> None:
    found = video(POLICY | {"use_state": "false", "history_length": 0})
    assert (found.request.state, found.ignored) == (None, ())


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"use_state": True}, "use_state", "is true, and state is missing"),
        ({"use_state": False, "state": [[0] * 9] * 2}, "use_state", "is false, and state is given"),
        ({"history_length": 1}, "history_length", "expected 0"),
        ({"history_length": 1, "state": [[0] * 9] * 2}, "history_length", "expected 2"),
        ({"state": [[]]}, "state", "[rows, width]"),
        ({"state": "[1,"}, "state", "Invalid JSON in form field"),
        ({"state": {"arm": 1}}, "state", "rows of numbers"),
    ],
)
def test_states_that_are_refused(fields: dict[str, Any], param: str, says: str) -> None:
    error = refused(POLICY | fields)
    assert error.param == param and says in error.message


@pytest.mark.parametrize(
    ("fields", "field", "param"),
    [
        ({"size": "320x192"}, "width", "size"),
        ({"seconds": 2}, "num_frames", "seconds"),
        ({"steps": 5}, "num_inference_steps", "steps"),
        ({"image_reference": uri(PNG)}, "image", "image_reference"),
        ({}, "image", "input_reference"),
        ({"extra_params": {"action_mode": "policy"}}, "mode", "action_mode"),
        ({"action_fps": 5}, "fps", "action_fps"),
        ({}, "domain_name", "domain_name"),
    ],
)
def test_later_refusals_in_the_clients_names(fields: dict[str, Any], field: str, param: str) -> None:
    error = video(fields).refusal(RequestError(field, "is wrong"))
    assert (error.status, error.param, error.message) == (400, param, f"{param} is wrong")


COOKBOOK_IMAGE = {
    "prompt": json.dumps({"caption": "a robot"}),
    "size": "1280x720",
    "n": 1,
    "num_inference_steps": 35,
    "guidance_scale": 6.0,
    "flow_shift": 10.0,
    "seed": 0,
    "extra_args": {"use_resolution_template": False, "guardrails": True},
}


def test_cookbook_image() -> None:
    found = read_image(COOKBOOK_IMAGE)
    request = found.request
    assert (request.mode, request.prompt) == (Mode.TEXT_TO_IMAGE, COOKBOOK_IMAGE["prompt"])
    assert (request.width, request.height, request.seed, request.flow_shift) == (1280, 720, 0, 10.0)
    assert (request.use_resolution_template, found.guardrails, found.size) == (False, True, "1280x720")
    assert (found.n, found.response_format, found.output_format, found.output_compression) == (
        1,
        "b64_json",
        "png",
        100,
    )
    assert found.ignored == ()


def test_image_fields() -> None:
    fields = {"n": 3, "response_format": "file", "output_format": "JPG", "output_compression": 80, "size": "auto"}
    found = read_image({"prompt": "x", "system_prompt": "y", "use_system_prompt": "dynamic", "style": "vivid"} | fields)
    assert (found.n, found.response_format, found.output_format, found.output_compression) == (3, "file", "jpeg", 80)
    assert (found.request.width, found.size, found.request.system_prompt) == (None, None, "y")
    assert found.ignored == ("use_system_prompt", "style")
    assert read_image({"prompt": "x", "use_system_prompt": True}).request.use_system_prompt is True


def test_images_without_a_seed_differ() -> None:
    assert len({read_image({"prompt": "x"}).request.seed for _ in range(4)}) == 4
    assert 0 <= read_image({"prompt": "x"}).request.seed < 2**32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "1024"),
        ("response_format", "url"),
        ("output_format", "gif"),
        ("output_compression", 101),
        ("n", 0),
        ("n", 11),
        ("num_inference_steps", 500),
        ("use_system_prompt", 5),
        ("mode", "text2video"),
        ("generate_sound", True),
        ("sound_duration", 2.0),
        ("action", [[1.0]]),
        ("action_mode", "policy"),
        ("domain_name", "av"),
        ("input_reference", uri(PNG)),
        ("image", "/etc/passwd"),
        ("image_reference", {"image_url": uri(PNG)}),
        ("lora", {"path": "x"}),
    ],
)
def test_image_refusals(name: str, value: Any) -> None:
    assert refused_image(**{name: value}).param == name
    assert refused_image(extra_params={name: value}).param == name


@pytest.mark.parametrize(
    "given",
    [
        {"image": uri(PNG)},
        {"image": [uri(PNG)]},
        {"image": {"image_url": uri(PNG)}},
        {"url": uri(PNG)},
        {"input_reference": uri(PNG)},
        {"image_reference": json.dumps({"image_url": uri(PNG)})},
    ],
)
def test_an_edits_picture(given: dict[str, Any]) -> None:
    found = edit(given)
    assert (found.request.mode, found.request.image) == (Mode.IMAGE_TO_IMAGE, PNG)
    (name,) = given
    assert found.refusal(RequestError("image", "is wrong")).param == name


def test_an_edits_fields() -> None:
    fields = {"n": "2", "response_format": "file", "output_format": "webp", "output_compression": "80", "size": "auto"}
    sampler = {"negative_prompt": "blue", "steps": "5", "guidance": "3", "flow_shift": "4", "mode": "i2i"}
    extra = {"extra_args": json.dumps({"seed": 7, "moderation": "auto"}), "stream": "false"}
    found = edit(fields | sampler | extra, image=JPEG)
    assert (found.n, found.response_format, found.output_format, found.output_compression) == (2, "file", "webp", 80)
    request = found.request
    assert (request.image, request.negative_prompt, request.width, request.seed) == (JPEG, "blue", None, 7)
    assert (request.num_inference_steps, request.guidance_scale, request.flow_shift) == (5, 3.0, 4.0)
    assert found.ignored == ("extra_args.moderation",)
    assert (edit({"size": "320x192"}, image=PNG).request.width, edit({}, image=PNG).size) == (320, None)
    assert len({edit({}, image=PNG).request.seed for _ in range(4)}) == 4


def test_an_edit_without_a_picture() -> None:
    error = refused_edit({}, 422)
    assert (error.message, error.param) == ("Field 'image' or 'url' is required", "image")


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"mask": uri(PNG)}, "mask", "edits by text only"),
        ({"extra_params": {"mask_image": uri(PNG)}}, "mask_image", "edits by text only"),
        ({"reference_image": uri(PNG)}, "reference_image", "edits one picture"),
        ({"url": uri(PNG)}, "url", "cannot be combined with image"),
        ({"image_url": uri(PNG)}, "image_url", "cannot be combined with image"),
        ({"stream": "true"}, "stream", "is not served"),
        ({"response_format": "url"}, "response_format", "expected b64_json or file"),
        ({"n": "11"}, "n", "expected 1 to 10"),
        ({"mode": "text2image"}, "mode", "edits a picture"),
        ({"generate_sound": "true"}, "generate_sound", "edits a picture"),
        ({"video": uri(PNG, "video/mp4")}, "video", "edits a picture"),
        ({"lora": {"path": "x"}}, "lora", "clients cannot name files"),
    ],
)
def test_edits_that_are_refused(fields: dict[str, Any], param: str, reason: str) -> None:
    error = refused_edit(fields, image=PNG)
    assert error.param == param and reason in error.message


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"url": "https://example.com/a.png"}, "url", "is a URL"),
        ({"image": "file:///etc/passwd"}, "image", "is a URL"),
        ({"image": [uri(PNG), uri(PNG)]}, "image", "holds 2 references; expected one"),
        ({"image": uri(b"x", "video/mp4")}, "image", "expected an image"),
    ],
)
def test_pictures_that_are_refused(fields: dict[str, Any], param: str, reason: str) -> None:
    error = refused_edit(fields)
    assert error.param == param and reason in error.message


def test_an_edit_of_two_uploads_or_with_a_mask() -> None:
    with pytest.raises(ApiError, match="image holds 2 references; expected one"):
        read_edit(Body({"prompt": "x"}, {"image": [Upload("a", PNG), Upload("b", PNG)]}))
    assert refused_edit({}, image=PNG, mask=PNG).param == "mask"


NAMES = sorted(
    {
        *tables.VIDEO.accepted,
        *tables.EDIT.accepted,
        *tables.EDIT.refused,
        *tables.VIDEO.refused,
        *tables.ALIASES,
        *tables.CONTAINERS,
    }
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["0", "-1", "5", "1e999", "nan", "[]", "{}", "null", "[[1]]", '{"seed": []}', "true", "9" * 70]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _answers(fields: dict[str, Any], uploads: dict[str, list[Upload]]) -> None:
    readers: list[Callable[[], Generation]] = [
        lambda: read_video(Body(fields, uploads)),
        lambda: read_image(fields),
        lambda: read_edit(Body({"image": uri(PNG)} | fields, uploads)),
    ]
    for read in readers:
        try:
            read()
        except ApiError as error:
            assert error.status == 400 or (error.status, error.param) == (422, "image")
            error.response("id")


@given(
    st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=6),
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.builds(Upload, TEXTS, st.binary(max_size=9)), min_size=1), max_size=1
    ),
)
def test_any_form(fields: dict[str, Any], uploads: dict[str, list[Upload]]) -> None:
    _answers({"prompt": "a robot"} | fields, uploads)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), VALUES, max_size=5))
def test_any_json(fields: dict[str, Any]) -> None:
    _answers({"prompt": "a robot"} | fields, {})


@given(st.sampled_from(NAMES), VALUES)
def test_any_value_of_a_field(name: str, value: Any) -> None:
    _answers({"prompt": "a robot", name: value}, {})
