"""Transfer as clients ask for it: where controls may stand, what they imply, and what contradicts what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cosmos3_core.controls import Control, ControlKind, Strength
from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.generation import Generation
from tests.ingress.requests.reading import JPEG, PNG, refused, uri, video

BASE64 = base64.b64encode(PNG).decode()
DEPTH = ControlKind.DEPTH


def controls(found: Generation) -> tuple[Control, ...]:
    assert found.request.mode is Mode.TRANSFER and found.ignored == ()
    return found.request.controls


def refused_later(facts: ModelFacts, fields: dict[str, Any], **uploads: bytes) -> ApiError:
    """A refusal by the core of a request that can be read, in the client's words."""
    found = video(fields, **uploads)
    with pytest.raises(RequestError) as caught:
        resolve(found.request, facts, read_inputs(found.request))
    return found.refusal(caught.value)


@pytest.mark.parametrize(
    ("fields", "uploads"),
    [
        ({"control_type": "depth"}, {"control_reference": PNG}),
        ({"control_type": "Depth", "control_reference": uri(PNG)}, {}),
        ({"control_type": "depth", "control_reference": {"video_url": uri(PNG, "video/mp4")}}, {}),
        ({"extra_params": {"control_type": "depth"}}, {"control_reference": PNG}),
        ({}, {"depth": PNG}),
        ({"depth": uri(PNG)}, {}),
        ({"depth": {"control": BASE64}}, {}),
        ({"depth": json.dumps({"video": uri(PNG)})}, {}),
        ({"extra_params": {"depth": {"control": uri(PNG)}}}, {}),
        ({"extra_args": json.dumps({"depth": {"control": uri(PNG)}})}, {}),
        ({"transfer": {"depth": {"video": BASE64}}}, {}),
        ({"extra_params": {"transfer": {"depth": uri(PNG)}}}, {}),
        ({"mode": "video_transfer", "depth": {"control": BASE64}}, {}),
    ],
)
def test_every_place_of_a_control(fields: dict[str, Any], uploads: dict[str, bytes]) -> None:
    assert controls(video(fields, **uploads)) == (Control(kind=DEPTH, video=PNG),)


def test_a_file_and_its_numbers_have_one_name() -> None:
    found = video(
        {"extra_params": {"depth": {"control_weight": 0.5}, "seg": {"control_weight": 2}}}, depth=PNG, seg=JPEG
    )
    assert controls(found) == (
        Control(kind=DEPTH, weight=0.5, video=PNG),
        Control(kind=ControlKind.SEG, weight=2, video=JPEG),
    )
    assert controls(video({"depth": {"control_weight": "0.5"}}, depth=PNG)) == (
        Control(kind=DEPTH, weight=0.5, video=PNG),
    )
    weighted = video({"control_type": "depth", "depth": {"control_weight": 3}}, control_reference=PNG)
    assert controls(weighted) == (Control(kind=DEPTH, weight=3, video=PNG),)


def test_the_later_place_takes_precedence() -> None:
    fields = {"edge": {"control_weight": 1}, "transfer": {"edge": {"control_weight": 2}}}
    (found,) = controls(video(fields | {"extra_params": {"edge": {"preset_edge_threshold": "low"}}}))
    assert (found.weight, found.strength) == (2, Strength.LOW)
    (found,) = controls(video({"edge": {"control_weight": 1}, "extra_params": {"edge": {"control_weight": 4}}}))
    assert found.weight == 4


def test_a_reference_video_is_what_controls_are_computed_from(mp4: bytes) -> None:
    found = video({"edge": True, "blur": {"preset_blur_strength": "high"}, "depth": {"control": BASE64}}, video=mp4)
    edge, blur, depth = controls(found)
    assert (edge.video, blur.video, depth.video, found.request.video) == (None, None, PNG, mp4)
    assert (edge.strength, blur.strength) == (Strength.MEDIUM, Strength.HIGH)
    assert read_inputs(found.request).frames is not None


def test_a12_the_cookbooks_numbers() -> None:
    extra: dict[str, Any] = {
        "control_guidance": 1.5,
        "num_video_frames_per_chunk": 121,
        "max_frames": None,
        "resolution": "720",
    }
    extra |= {"show_control_condition": False, "show_input": False, "control_guidance_interval": [0, 900]}
    extra |= {"num_conditional_frames": 2, "num_first_chunk_conditional_frames": 0}
    extra |= {"share_vision_temporal_positions": True, "emphasize_control_in_prompt": False}
    fields = {"size": "1280x720", "num_frames": "121", "fps": "30", "num_inference_steps": "50"}
    request = video(fields | {"guidance_scale": "3.0", "extra_params": extra | {"edge": {"control": BASE64}}}).request
    assert (request.control_guidance, request.control_guidance_interval) == (1.5, (0, 900))
    assert (request.num_video_frames_per_chunk, request.num_conditional_frames) == (121, 2)
    assert (request.num_first_chunk_conditional_frames, request.max_frames) == (0, None)
    assert (request.share_vision_temporal_positions, request.emphasize_control_in_prompt) == (True, False)


def test_the_numbers_inside_the_object_of_nim() -> None:
    found = video({"transfer": {"depth": {"video": BASE64}, "control_guidance": 2}, "max_frames": 9})
    assert (found.request.control_guidance, found.request.max_frames) == (2, 9)
    assert found.names["control_guidance"] == "transfer.control_guidance"
    assert refused({"transfer": {"depth": uri(PNG), "max_frames": 0}}).param == "transfer.max_frames"
    assert video({"transfer": {"depth": uri(PNG), "max_frames": 8}, "max_frames": 8}).request.max_frames == 8
    error = refused({"transfer": {"depth": uri(PNG), "max_frames": 8}, "max_frames": 9})
    assert error.param == "transfer.max_frames" and "contradicts max_frames" in error.message


@pytest.mark.parametrize(
    ("fields", "uploads", "param", "says"),
    [
        ({}, {"control_reference": PNG}, "control_type", "edge, blur, depth, seg, wsm"),
        ({"control_type": "pose"}, {"control_reference": PNG}, "control_type", "edge, blur, depth, seg, wsm"),
        ({"control_type": "depth"}, {}, "control_reference", "is missing"),
        ({"control_type": "depth", "depth": uri(PNG)}, {}, "control_reference", "is missing"),
        (
            {"control_type": "depth", "extra_params": {"depth": {"control": BASE64}}},
            {"control_reference": PNG},
            "control_reference",
            "repeats the depth control of depth.control",
        ),
        (
            {"control_type": "depth", "extra_params": {"depth": {"control_path": "/etc/passwd"}}},
            {"control_reference": PNG},
            "depth.control_path",
            "file or an address",
        ),
        ({"depth": {"control": BASE64}}, {"depth": PNG}, "depth.control", "repeats the depth control of depth"),
        ({"depth": uri(PNG), "transfer": {"depth": uri(PNG)}}, {}, "transfer.depth", "of depth"),
        ({"depth": {"control_weight": -1}}, {"depth": PNG}, "depth.control_weight", "greater than or equal to 0"),
        ({"depth": {"control_weight": 1e9}}, {"depth": PNG}, "depth.control_weight", "less than or equal to"),
        ({"transfer": {"depth": {"video": BASE64, "control_weight": -1}}}, {}, "transfer.depth.control_weight", "-1"),
        (
            {"transfer": {"blur": {"video": BASE64, "preset_blur_strength": "low"}}},
            {},
            "transfer.blur.preset_blur_strength",
            "transfer.blur.video gives it",
        ),
        ({"mode": "transfer"}, {}, "mode", "expected one, such as edge"),
        ({"mode": "transfer"}, {"image": PNG}, "mode", "transfer"),
        ({"mode": "transfer", "edge": False}, {}, "mode", "expected one, such as edge"),
        ({"edge": True}, {"image": PNG}, "image", "is an image"),
        ({"edge": uri(PNG), "image_reference": uri(PNG)}, {}, "image_reference", "is an image"),
        ({"mode": "image2video", "edge": uri(PNG)}, {}, "mode", "this route does transfer"),
        ({"edge": uri(PNG), "show_control_condition": True}, {}, "show_control_condition", "not served"),
        ({"edge": uri(PNG), "extra_params": {"show_input": True}}, {}, "show_input", "not served"),
        ({"control_weight": 1, "control_type": "edge"}, {"control_reference": PNG}, "control_weight", "inside"),
        ({"control_path": "/etc/passwd"}, {}, "control_path", "file or an address"),
        ({"depth": uri(PNG), "control_guidance": 11}, {}, "control_guidance", "10"),
        ({"depth": uri(PNG), "num_video_frames_per_chunk": 0}, {}, "num_video_frames_per_chunk", "1"),
        ({"depth": uri(PNG), "max_frames": 5001}, {}, "max_frames", "5000"),
        ({"depth": uri(PNG), "control_guidance_interval": [1]}, {}, "control_guidance_interval", "two"),
    ],
)
def test_refusals(fields: dict[str, Any], uploads: dict[str, bytes], param: str, says: str) -> None:
    error = refused(fields, **uploads)
    assert error.param == param and error.message.startswith(param) and says in error.message
    assert "passwd" not in error.message and len(error.message) < 300


@pytest.mark.parametrize(
    ("fields", "uploads", "param"),
    [
        ({"depth": {"control": BASE64, "control_weight": 0}}, {}, "depth"),
        ({"transfer": {"depth": {"video": BASE64, "control_weight": 0}}}, {}, "transfer.depth"),
        ({"edge": True}, {}, "edge.control"),
        ({"transfer": {"edge": True}}, {}, "transfer.edge.video"),
        ({"control_type": "depth"}, {"control_reference": b"nothing"}, "control_reference"),
        ({"seg": {"control": base64.b64encode(b"nothing").decode()}}, {}, "seg.control"),
        ({}, {"wsm": b"nothing"}, "wsm"),
        ({"mode": "text2video", "depth": uri(PNG)}, {}, "depth"),
        ({"mode": "policy", "domain_name": "av", "depth": uri(PNG), "image": uri(PNG)}, {}, "depth"),
        ({"depth": uri(PNG), "generate_sound": True}, {}, "generate_sound"),
        ({"depth": uri(PNG), "action": [[0.0]]}, {}, "action"),
        ({"depth": uri(PNG), "domain_name": "av"}, {}, "domain_name"),
        ({"depth": uri(PNG), "control_guidance_interval": [900, 10]}, {}, "control_guidance_interval"),
        ({"control_guidance": 2}, {}, "control_guidance"),
        ({"share_vision_temporal_positions": False}, {}, "share_vision_temporal_positions"),
        ({"max_frames": 20, "image": uri(PNG)}, {}, "max_frames"),
    ],
)
def test_later_refusals_in_the_clients_names(
    fields: dict[str, Any], uploads: dict[str, bytes], param: str, facts: ModelFacts
) -> None:
    error = refused_later(facts, fields, **uploads)
    assert error.param == param and error.message.startswith(param)


def test_a_depth_control_cannot_be_computed(mp4: bytes, facts: ModelFacts) -> None:
    assert refused_later(facts, {"depth": True}, video=mp4).param == "depth.control"
    assert refused_later(facts, {"depth": uri(PNG)}, video=mp4).param == "video"


@pytest.mark.parametrize(
    ("fields", "uploads"),
    [
        ({"edge": {"control": BASE64, "preset_edge_threshold": "low"}}, {}),
        ({"edge": {"preset_edge_threshold": "low"}}, {"edge": PNG}),
    ],
)
def test_a_strength_beside_a_given_control_is_ignored_as_by_vllm_omni(
    fields: dict[str, Any], uploads: dict[str, bytes]
) -> None:
    generation = video(fields, **uploads)
    (control,) = generation.request.controls
    assert control.strength is Strength.MEDIUM and generation.ignored == ("edge.preset_edge_threshold",)
