"""What the generation routes make of a client's fields: names, values, modes, references, refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.errors import RequestError
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from cosmos3_core.modes import Mode
from deployments.ingress.errors import ApiError
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body, Upload
from deployments.ingress.requests.generation import Generation, read_image, read_video
from tests.parity.cases import picture

PNG = encode_image(picture(32, 48, seed=1), "png")
JPEG = encode_image(picture(32, 48, seed=1), "jpeg")


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    encode_mp4(path, [picture(32, 48, seed=index) for index in range(5)], 10.0)
    return path.read_bytes()


def uri(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def video(fields: dict[str, Any] | None = None, **uploads: bytes) -> Generation:
    files = {name: [Upload("file", content)] for name, content in uploads.items()}
    return read_video(Body({"prompt": "a robot"} | (fields or {}), files))


def refused(fields: dict[str, Any], **uploads: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        video(fields, **uploads)
    assert caught.value.status == 400
    return caught.value


def refused_image(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_image({"prompt": "a robot"} | fields)
    assert caught.value.status == 400
    return caught.value


def test_defaults() -> None:
    found = video()
    assert found.request.mode is Mode.TEXT_TO_VIDEO
    assert found.request.model_fields_set == {"mode", "prompt"}
    assert (found.model, found.guardrails, found.size, found.seconds) == (None, None, None, "4")
    assert (found.ignored, found.return_stage_metrics, found.request.seed) == ((), False, 42)


@pytest.mark.parametrize(
    ("name", "sent", "field", "value"),
    [
        ("size", "1280x720", "width", 1280),
        ("size", "1280x720", "height", 720),
        ("size", "auto", "width", None),
        ("num_frames", "61", "num_frames", 61),
        ("num_frames", 61.0, "num_frames", 61),
        ("num_frames", "1e2", "num_frames", 100),
        ("num_output_frames", 26, "num_frames", 26),
        ("fps", "24", "fps", 24.0),
        ("fps", "29.97", "fps", 29.97),
        ("action_fps", "10", "fps", 10.0),
        ("conditioning_fps", 15, "fps", 15.0),
        ("steps", "6", "num_inference_steps", 6),
        ("num_steps", 6, "num_inference_steps", 6),
        ("guidance", "5", "guidance_scale", 5.0),
        ("guidance_scale", 0, "guidance_scale", 0.0),
        ("shift", "10.0", "flow_shift", 10.0),
        ("seed", "0", "seed", 0),
        ("seed", str(2**63 - 1), "seed", 2**63 - 1),
        ("seed", -(2**63), "seed", -(2**63)),
        ("seed", [3], "seed", 3),
        ("deterministic_seed", "7", "seed", 7),
        ("enable_sound", "on", "generate_sound", True),
        ("sound_gen", "No", "generate_sound", False),
        ("enable_audio", 1, "generate_sound", True),
        ("use_system_prompt", "TRUE", "use_system_prompt", True),
        ("max_sequence_length", "512", "max_sequence_length", 512),
        ("guidance_interval", "[400, 1000]", "guidance_interval", (400.0, 1000.0)),
        ("guidance_interval", ["0", "500"], "guidance_interval", (0.0, 500.0)),
        ("condition_frame_indexes_vision", "0,1", "condition_frame_indexes_vision", (0, 1)),
        ("condition_frame_indexes_vision", "[1, 0]", "condition_frame_indexes_vision", (0, 1)),
        ("condition_frame_indexes_vision", 2, "condition_frame_indexes_vision", (2,)),
        ("condition_video_latent_indexes", ["0", "1", "1"], "condition_frame_indexes_vision", (0, 1)),
        ("resolution", 480, "resolution", "480"),
        ("image_size", "256", "resolution", "256"),
        ("aspect_ratio", "16:9", "aspect_ratio", "16:9"),
        ("preset", "diffusers", "preset", "diffusers"),
        ("negative_metadata_mode", "same", "negative_metadata_mode", "same"),
        ("domain_id", "1", "domain_id", 1),
        ("view_point", "concat_view", "view_point", "concat_view"),
        ("action_view_point", "concat_view", "view_point", "concat_view"),
        ("action_horizon", "8", "action_chunk_size", 8),
        ("negative_prompt", '{"a": 1}', "negative_prompt", '{"a": 1}'),
        ("seconds", "2", "num_frames", 48),
        ("seconds", 0.5, "num_frames", 12),
    ],
)
@pytest.mark.parametrize("place", ["top", "extra_params", "extra_args", "JSON text"])
def test_one_field(place: str, name: str, sent: Any, field: str, value: Any) -> None:
    wrapped = {
        "top": {name: sent},
        "extra_params": {"extra_params": {name: sent}},
        "extra_args": {"extra_args": {name: sent}},
        "JSON text": {"extra_params": json.dumps({name: sent})},
    }
    found = video(wrapped[place])
    assert getattr(found.request, field) == value
    assert found.ignored == ()


def test_what_changes_nothing_is_said_to_be_ignored() -> None:
    silent = video({"audio_duration": "7.875", "n": 3})
    assert silent.request.sound_duration is None and silent.ignored == ("n", "audio_duration")
    loud = video({"audio_duration": "7.875", "enable_sound": "true", "num_outputs_per_prompt": 1})
    assert loud.request.sound_duration == 7.875 and loud.ignored == ()


def test_an_automatic_size_is_no_size_of_the_record() -> None:
    assert video({"size": "auto"}).size is None and video({"size": "100x90"}).size == "100x90"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"seed": 1, "extra_params": {"seed": 2}}, {"seed": 2}),
        ({"seed": 1, "extra_params": {"seed": None}}, {"seed": 1}),
        ({"extra_args": {"seed": 1}, "extra_params": {"seed": 2}}, {"seed": 2}),
        ({"steps": 5, "extra_params": {"num_steps": 6}}, {"num_inference_steps": 6}),
        ({"steps": 5, "num_inference_steps": "5"}, {"num_inference_steps": 5}),
        ({"size": "320x192", "width": 640, "height": 640}, {"width": 320, "height": 192}),
        ({"size": "320x192", "extra_params": {"width": 640, "height": 640}}, {"width": 320, "height": 192}),
        ({"size": "auto", "width": 640, "height": 640}, {"width": 640, "height": 640}),
        ({"seconds": "2", "num_frames": 9}, {"num_frames": 9}),
        ({"seconds": "2", "fps": "10"}, {"num_frames": 20}),
        ({"seconds": "2", "extra_params": {"fps": "10"}}, {"num_frames": 20}),
        ({"video_params": {"width": 64, "height": 64, "fps": 5}, "fps": 10}, {"width": 64, "height": 64, "fps": 10}),
        ({"fps": 10, "action_fps": 10.0}, {"fps": 10}),
        ({"num_frames": "", "seed": None, "size": "", "extra_params": ""}, {"num_frames": None, "seed": 42}),
    ],
)
def test_precedence(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = video(fields).request
    assert {name: getattr(request, name) for name in expected} == expected


def test_what_a_job_echoes() -> None:
    found = video({"size": "320x192", "seconds": 2, "model": "cosmos", "return_stage_metrics": "true"})
    assert (found.size, found.seconds, found.model, found.return_stage_metrics) == ("320x192", "2", "cosmos", True)


@pytest.mark.parametrize("name", ["guardrails", "use_guardrails", "enable_safety_checker"])
@pytest.mark.parametrize(("sent", "value"), [("false", False), (True, True), (0, False)])
def test_guardrails(name: str, sent: Any, value: bool) -> None:
    assert video({"extra_params": {name: sent}}).guardrails is value
    assert read_image({"prompt": "a robot", "extra_args": {name: sent}}).guardrails is value


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"size": "abc"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "1280X720"}, "size"),
        ({"size": "1280x720x3"}, "size"),
        ({"size": "9" * 5000 + "x9"}, "size"),
        ({"fps": "0"}, "fps"),
        ({"fps": "nan"}, "fps"),
        ({"fps": "inf"}, "fps"),
        ({"fps": "0", "seconds": "4"}, "fps"),
        ({"fps": "1_0"}, "fps"),
        ({"fps": True}, "fps"),
        ({"action_fps": 0}, "action_fps"),
        ({"fps": 24, "action_fps": 10}, "action_fps"),
        ({"num_inference_steps": "500"}, "num_inference_steps"),
        ({"steps": "500"}, "steps"),
        ({"steps": 5, "num_inference_steps": 6}, "num_inference_steps"),
        ({"num_frames": "5.5"}, "num_frames"),
        ({"num_frames": ["5", "6"]}, "num_frames"),
        ({"num_frames": False}, "num_frames"),
        ({"seed": "9223372036854775808"}, "seed"),
        ({"seed": "9" * 5000}, "seed"),
        ({"seed": 10**3999}, "seed"),
        ({"seed": [1, 2]}, "seed"),
        ({"sound_duration": "0"}, "sound_duration"),
        ({"audio_duration": "0"}, "audio_duration"),
        ({"seconds": "0"}, "seconds"),
        ({"seconds": "1e200"}, "seconds"),
        ({"seconds": "0.01"}, "seconds"),
        ({"generate_sound": "maybe"}, "generate_sound"),
        ({"generate_sound": 2}, "generate_sound"),
        ({"guidance_scale": "high"}, "guidance_scale"),
        ({"guidance_scale": 21}, "guidance_scale"),
        ({"guidance_interval": [1, 2, 3]}, "guidance_interval"),
        ({"condition_frame_indexes_vision": "0,x"}, "condition_frame_indexes_vision"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"schedule": "cosine"}, "schedule"),
        ({"extra_params": "{bad"}, "extra_params"),
        ({"extra_params": "[1]"}, "extra_params"),
        ({"extra_params": [1]}, "extra_params"),
        ({"extra_args": 3}, "extra_args"),
        ({"mode": "text2image"}, "mode"),
        ({"model_mode": "image2video"}, "model_mode"),
        ({"mode": "magic"}, "mode"),
        ({"extra_params": {"action_mode": "text2video"}}, "action_mode"),
        ({"mode": "policy", "action_mode": "inverse_dynamics"}, "action_mode"),
        ({"action": "[[1, 2], [3]]"}, "action"),
        ({"action": "[[1, 2"}, "action"),
        ({"action": [[10**400]]}, "action"),
        ({"action": [["x"]]}, "action"),
        ({"action": [[1e9]]}, "action"),
        ({"num_outputs_per_prompt": "11"}, "num_outputs_per_prompt"),
        ({"n": 0}, "n"),
        ({"quality": "hd"}, "quality"),
        ({"lora": '{"name": "x"}'}, "lora"),
        ({"control_reference": "x"}, "control_reference"),
        ({"control_type": "pose"}, "control_type"),
        ({"extra_params": {"depth": {"control_path": "/etc/passwd"}}}, "depth"),
        ({"extra_params": {"edge": True}}, "edge"),
        ({"extra_params": {"control_guidance": 1.5}}, "control_guidance"),
        ({"extra_params": {"action_path": "/etc/passwd"}}, "action_path"),
        ({"enable_frame_interpolation": "true"}, "enable_frame_interpolation"),
        ({"audio_reference": '{"audio_url": "data:,"}'}, "audio_reference"),
        ({"extra_params": {"observation": {"a": 1}}}, "observation"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], param: str) -> None:
    error = refused(fields)
    assert error.param == param
    assert error.message.startswith(param)
    assert len(error.message) < 500
    error.response("id")


def test_missing_prompt() -> None:
    with pytest.raises(ApiError, match="prompt is missing"):
        read_video(Body({}))
    with pytest.raises(ApiError, match="prompt is missing"):
        read_image({})
    assert video({"prompt": " "}).request.prompt == " "


def test_wordings_that_clients_know() -> None:
    assert "Invalid JSON in form field" in refused({"extra_params": "{bad"}).message
    assert "expected an object, got a list" in refused({"extra_params": "[1]"}).message
    assert "edge, blur, depth, seg, wsm" in refused({"control_type": "pose"}).message
    assert "<path>" not in refused_image(action_mode="policy").body("id")["error"]["message"]
    assert len(refused({"prompt": "x" * 200_000}).message) < 200


@pytest.mark.parametrize("name", ["prompt", "extra_params", "seed"])
def test_file_instead_of_text(name: str) -> None:
    with pytest.raises(ApiError, match=f"{name} is (given as )?a file; expected") as caught:
        read_video(Body({"prompt": "a robot"} if name != "prompt" else {}, {name: [Upload("file", b"x")]}))
    assert caught.value.param == name


@pytest.mark.parametrize("name", ["control_reference", "source_video", "mask_image", "audio_reference"])
def test_refused_uploads(name: str) -> None:
    assert refused({}, **{name: b"x"}).param == name


@pytest.mark.parametrize("name", sorted(tables.COSMETIC))
def test_cosmetic_fields_are_silent(name: str) -> None:
    assert video({name: "anything"}).ignored == ()


@pytest.mark.parametrize("value", [None, "", False, "false", "none", "{}", [], {}, 0, "0"])
@pytest.mark.parametrize("name", ["lora", "depth", "control_reference", "enable_frame_interpolation", "mask_image"])
def test_refused_fields_that_ask_for_nothing(name: str, value: Any) -> None:
    assert video({name: value, "extra_params": {name: value}}).ignored == ()


def test_other_servers_no_ops() -> None:
    assert [video({"quality": word}).quality for word in ("auto", "High", "lossless")] == [
        "standard",
        "high",
        "lossless",
    ]
    assert video({"quality": "auto", "n": 1, "num_outputs_per_prompt": "1", "user": "me"}).ignored == ()


def test_unknown_fields() -> None:
    fields = {"nonsense": 1, "extra_params": {"more": 2, "bad\r\nname é": 3}, "deterministic_seed": "true", "x": None}
    assert video(fields).ignored == (
        "nonsense",
        "deterministic_seed",
        "extra_params.more",
        "extra_params.bad??name??",
    )
    assert len(video({f"field{index}": 1 for index in range(100)}).ignored) == 20


def test_nothing_becomes_a_path() -> None:
    for name in ("image", "video", "input_reference", "image_reference", "video_reference"):
        for place in ({name: "/etc/passwd"}, {"extra_params": {name: "/etc/passwd"}}):
            assert refused(place).param == name


@pytest.mark.parametrize("media", ["png", "jpeg", "mp4"])
@pytest.mark.parametrize("name", ["input_reference", "input_references", "image", "video"])
@pytest.mark.parametrize("how", ["upload", "data URI", "wrong type"])
def test_input_reference(media: str, name: str, how: str, mp4: bytes) -> None:
    content = {"png": PNG, "jpeg": JPEG, "mp4": mp4}[media]
    if how == "upload":
        found = video({}, **{name: content})
    else:
        found = video({name: uri(content, "application/octet-stream" if how == "wrong type" else "image/png")})
    expected = (None, mp4) if media == "mp4" else (content, None)
    assert (found.request.image, found.request.video) == expected
    assert found.request.mode is (Mode.VIDEO_TO_VIDEO if media == "mp4" else Mode.IMAGE_TO_VIDEO)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda address: address,
        lambda address: {"image_url": address},
        lambda address: [{"image_url": address}],
        lambda address: {"image_url": address, "file_id": None},
        lambda address: json.dumps({"image_url": address}),
        lambda address: " " + json.dumps([address]),
    ],
)
@pytest.mark.parametrize("name", ["image_reference", "input_reference"])
def test_spellings_of_a_reference(name: str, wrap: Any) -> None:
    found = video({name: wrap(uri(PNG))})
    assert (found.request.image, found.request.mode) == (PNG, Mode.IMAGE_TO_VIDEO)


def test_video_reference(mp4: bytes) -> None:
    found = video({"video_reference": {"video_url": uri(mp4, "video/mp4")}, "num_frames": 1})
    assert (found.request.video, found.request.mode) == (mp4, Mode.VIDEO_TO_VIDEO)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image_reference": "http://127.0.0.1/x"}, "not fetched"),
        ({"image_reference": {"image_url": "https://example.com/secret.png"}}, "not fetched"),
        ({"image_reference": "FILE:///etc/passwd"}, "not fetched"),
        ({"video_reference": {"video_url": "ftp://x"}}, "not fetched"),
        ({"image_reference": '{"file_id": "file-1"}'}, "file_id"),
        ({"image_reference": '{"image_url": '}, "Invalid JSON in form field"),
        ({"image_reference": {"image_url": uri(PNG), "detail": "high"}}, "other keys"),
        ({"image_reference": {"video_url": uri(PNG)}}, "other keys"),
        ({"image_reference": {"image_url": 3}}, "a number as its image_url"),
        ({"image_reference": {"image_url": {"url": uri(PNG)}}}, "an object"),
        ({"image_reference": [uri(PNG), uri(PNG)]}, "holds 2"),
        ({"image_reference": [[uri(PNG)]]}, "a list"),
        ({"image_reference": 3}, "a number"),
        ({"image_reference": uri(PNG, "video/mp4")}, "holds a video; expected an image"),
        ({"image_reference": "data:image/png,AAAA"}, "without base64"),
        ({"image_reference": "data:image/png;base64"}, "without base64"),
        ({"image_reference": "data:image/png;base64,A A="}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,AAA"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,é"}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,_-8="}, "not valid base64"),
        ({"image_reference": "data:image/png;base64,"}, "empty"),
        ({"image_reference": base64.b64encode(PNG).decode()}, "is not a data URI"),
        ({"input_reference": "data:text/plain;base64,aGVsbG8="}, "cannot be read"),
        ({"input_reference": uri(PNG[: len(PNG) // 2])}, "cannot be read"),
    ],
)
def test_bad_references(fields: dict[str, Any], says: str) -> None:
    error = refused(fields)
    assert error.param == next(iter(fields))
    assert says in error.message
    assert "secret" not in error.message


def test_bad_uploads() -> None:
    assert refused({}, input_reference=b"").param == "input_reference"
    assert refused({}, input_reference=b"hello").param == "input_reference"
    with pytest.raises(ApiError, match="holds 2 references"):
        read_video(Body({"prompt": "x"}, {"input_references": [Upload("a", PNG), Upload("b", PNG)]}))


def test_references_cannot_be_combined(mp4: bytes) -> None:
    assert refused({"image_reference": uri(PNG)}, input_reference=PNG).param == "image_reference"
    assert refused({"image_reference": uri(PNG), "video_reference": uri(mp4)}).param == "video_reference"
    assert refused({"input_reference": uri(PNG)}, input_reference=PNG).param == "input_reference"
    assert refused({}, input_reference=PNG, input_references=mp4).param == "input_references"


def test_two_mebibyte_data_uri() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    content = encode_image(noise, "png")
    assert len(content) > 2**21
    assert video({"image_reference": json.dumps({"image_url": uri(content)})}).request.image == content


def test_explicit_mode_must_fit_the_inputs(mp4: bytes) -> None:
    assert video({"mode": "i2v"}, image=PNG).request.mode is Mode.IMAGE_TO_VIDEO
    assert "with a reference video this route does video2video" in refused({"mode": "i2v"}, video=mp4).message
    assert refused({"model_mode": "text2video"}, image=PNG).param == "model_mode"


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
    assert (request.resolution, request.action_chunk(), found.guardrails, found.ignored) == ("480", 60, False, ())


def test_inverse_dynamics_and_policy(mp4: bytes) -> None:
    fields = {"domain_name": "av", "action_chunk_size": "60", "raw_action_dim": "9"}
    inverse = video({"extra_params": fields | {"action_mode": "inverse_dynamics"}}, input_reference=mp4).request
    assert (inverse.mode, inverse.video, inverse.raw_action_dim) == (Mode.INVERSE_DYNAMICS, mp4, 9)
    policy = video({"action_mode": "wam", "seconds": "4", **fields}, input_reference=PNG).request
    assert (policy.mode, policy.image, policy.num_frames) == (Mode.POLICY, PNG, None)


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


def test_seedless_images_differ() -> None:
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
        ("lora", {"name": "x"}),
    ],
)
def test_image_refusals(name: str, value: Any) -> None:
    assert refused_image(**{name: value}).param == name
    assert refused_image(extra_params={name: value}).param == name


NAMES = sorted(
    {*tables.VIDEO.accepted, *tables.IMAGE.accepted, *tables.VIDEO.refused, *tables.ALIASES, *tables.CONTAINERS}
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
    readers: list[Callable[[], Generation]] = [lambda: read_video(Body(fields, uploads)), lambda: read_image(fields)]
    for read in readers:
        try:
            read()
        except ApiError as error:
            assert error.status == 400
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
