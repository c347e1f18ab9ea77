"""What a request refuses by itself, and how it reads what callers write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cosmos3_core.errors import RequestError
from cosmos3_core.modes import Mode
from cosmos3_core.request import GenerationRequest


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"mode": Mode.TEXT_TO_VIDEO, "prompt": "a robot", **fields})


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((mode.value, mode) for mode in Mode),
        ("t2i", Mode.TEXT_TO_IMAGE),
        ("text-to-image", Mode.TEXT_TO_IMAGE),
        ("T2V", Mode.TEXT_TO_VIDEO),
        ("text_to_video", Mode.TEXT_TO_VIDEO),
        ("i2v", Mode.IMAGE_TO_VIDEO),
        ("Image-to-Video", Mode.IMAGE_TO_VIDEO),
        ("v2v", Mode.VIDEO_TO_VIDEO),
        ("video_to_video", Mode.VIDEO_TO_VIDEO),
        ("i2i", Mode.IMAGE_TO_IMAGE),
        ("video-transfer", Mode.TRANSFER),
        ("wam", Mode.POLICY),
    ],
)
def test_a_mode_has_the_names_that_other_servers_use(name: str, mode: Mode) -> None:
    assert request(mode=name).mode is mode


def test_modes_say_what_they_make() -> None:
    assert [mode for mode in Mode if mode.is_image] == [Mode.TEXT_TO_IMAGE, Mode.IMAGE_TO_IMAGE]
    assert [mode for mode in Mode if mode.is_action] == [
        Mode.FORWARD_DYNAMICS,
        Mode.INVERSE_DYNAMICS,
        Mode.POLICY,
    ]
    assert [mode for mode in Mode if mode.predicts_action] == [Mode.INVERSE_DYNAMICS, Mode.POLICY]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "text2audio"),
        ("mode", ""),
        ("prompt", None),
        ("prompt", 3),
        ("prompt", "x" * 100_001),
        ("negative_prompt", "x" * 100_001),
        ("width", 0),
        ("height", -16),
        ("width", 640.5),
        ("num_frames", 0),
        ("fps", 0),
        ("fps", math.nan),
        ("fps", math.inf),
        ("num_inference_steps", 0),
        ("num_inference_steps", 201),
        ("guidance_scale", -0.1),
        ("guidance_scale", 20.1),
        ("guidance_scale", math.nan),
        ("guidance_interval", (1.0,)),
        ("guidance_interval", "all"),
        ("flow_shift", 0),
        ("flow_shift", 101),
        ("schedule", "cosine"),
        ("seed", 2**63),
        ("seed", -(2**63) - 1),
        ("seed", 1.5),
        ("sound_duration", 0),
        ("sound_duration", math.inf),
        ("condition_frame_indexes_vision", []),
        ("condition_frame_indexes_vision", [-1]),
        ("condition_frame_indexes_vision", "0,x"),
        ("condition_frame_indexes_vision", 0.5),
        ("condition_video_keep", "middle"),
        ("raw_action_dim", 0),
        ("action_chunk_size", 0),
        ("negative_metadata_mode", "some"),
        ("max_sequence_length", 0),
        ("action", [1.0, 2.0]),
        ("action", []),
        ("action", [[]]),
        ("action", [[1.0, 2.0], [3.0]]),
        ("action", [[1.0, math.nan]]),
        ("action", [[1.0, math.inf]]),
        ("action", [[1.0, None]]),
        ("action", {"rows": 3}),
        ("action", "left"),
        ("action", np.zeros((2, 3, 4))),
        ("state", [[math.nan]]),
        ("controls", [{"kind": "normals"}]),
        ("controls", [{"kind": "edge"}, {"kind": "edge"}]),
        ("controls", [{"kind": "edge", "weight": -1.0}]),
        ("controls", [{"kind": "edge", "weight": math.inf}]),
        ("controls", [{"kind": "edge", "strength": "extreme"}]),
        ("control_guidance", -0.1),
        ("control_guidance", 10.1),
        ("control_guidance_interval", (1.0,)),
        ("num_video_frames_per_chunk", 0),
        ("num_video_frames_per_chunk", 401),
        ("num_conditional_frames", -1),
        ("num_first_chunk_conditional_frames", -1),
        ("max_frames", 0),
        ("max_frames", 5001),
        ("no_such_field", 1),
    ],
)
def test_a_value_that_can_never_be_served_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as error:
        request(**{field: value})
    assert error.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize("missing", ["mode", "prompt"])
def test_mode_and_prompt_are_required(missing: str) -> None:
    fields: dict[str, Any] = {"mode": "t2v", "prompt": ""}
    del fields[missing]
    with pytest.raises(ValidationError) as error:
        GenerationRequest(**fields)
    assert error.value.errors()[0]["loc"] == (missing,)


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        request().__setattr__("seed", 1)


@pytest.mark.parametrize(
    ("given", "indexes"),
    [(0, (0,)), ("1", (1,)), ("2, 0", (0, 2)), ([1, 0, 1], (0, 1)), ((3,), (3,)), ({2, 1}, (1, 2))],
)
def test_frame_indexes_are_sorted_and_distinct(given: Any, indexes: tuple[int, ...]) -> None:
    assert request(condition_frame_indexes_vision=given).condition_frame_indexes_vision == indexes


@pytest.mark.parametrize("given", [[0, "x"], [None, 1], [[0], 1]])
def test_frame_indexes_of_mixed_kinds_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        request(condition_frame_indexes_vision=given)


@pytest.mark.parametrize(
    "given",
    [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), [[[1, 2], [3, 4]]], ((1.0, 2.0), (3.0, 4.0))],
    ids=["lists", "array", "batch of one", "tuples"],
)
def test_actions_become_rows_of_floats(given: Any) -> None:
    action = request(action=given).action
    assert action is not None
    assert action.dtype == np.float32
    assert action.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("fields", "chunk"),
    [
        ({}, (16, 1)),
        ({"action_chunk_size": 4}, (4, 1)),
        ({"action_chunk_size": 396}, (396, 1)),
        ({"num_frames": 17}, (16, 1)),
        ({"num_frames": 16}, (16, 1)),
        ({"num_frames": 61}, (60, 1)),
        ({"num_frames": 33, "action_chunk_size": 32}, (32, 1)),
        ({"num_frames": 32, "action_chunk_size": 32}, (32, 1)),
        ({"num_frames": 33, "action_chunk_size": 16}, (16, 2)),
        ({"num_frames": 65, "action_chunk_size": 4}, (4, 16)),
        ({"action": np.zeros((60, 9))}, (60, 1)),
        ({"action": np.zeros((5, 9))}, (8, 1)),
        ({"action": np.zeros((1, 9))}, (4, 1)),
        ({"action": np.zeros((60, 9)), "num_frames": 17}, (16, 1)),
        ({"action": np.zeros((60, 9)), "num_frames": 17, "action_chunk_size": 16}, (16, 1)),
        ({"action": np.zeros((60, 9)), "num_frames": 33, "action_chunk_size": 16}, (16, 2)),
        ({"action": np.zeros((60, 9)), "action_chunk_size": 16}, (16, 4)),
        ({"action": np.zeros((3, 9)), "action_chunk_size": 12}, (12, 1)),
    ],
)
def test_chunks_are_as_asked_or_as_long_as_frames_or_actions_imply(
    fields: dict[str, Any], chunk: tuple[int, int]
) -> None:
    assert request(mode="policy", **fields).action_chunks() == chunk


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"action_chunk_size": 6}, "action_chunk_size"),
        ({"action_chunk_size": 400}, "action_chunk_size"),
        ({"action": np.zeros((500, 9))}, "action_chunk_size"),
        ({"num_frames": 21, "action_chunk_size": 16}, "num_frames"),
        ({"num_frames": 15, "action_chunk_size": 16}, "num_frames"),
        ({"num_frames": 1, "action_chunk_size": 16}, "num_frames"),
        ({"num_frames": 5001, "action_chunk_size": 8}, "num_frames"),
        ({"action": np.zeros((5000, 1)), "action_chunk_size": 4}, "action"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as error:
        request(mode="policy", **fields).action_chunks()
    assert error.value.field == field
    assert "expected" in error.value.reason


def test_controls_stand_in_the_order_of_the_sequence() -> None:
    found = request(mode="transfer", controls=[{"kind": kind} for kind in ("wsm", "depth", "edge", "seg", "blur")])
    assert [control.kind for control in found.controls] == ["edge", "blur", "depth", "seg", "wsm"]


def test_media_are_named_by_their_field_or_the_kind_of_their_control() -> None:
    controls = [{"kind": "depth", "video": b"depth"}, {"kind": "edge"}, {"kind": "seg", "weight": 0, "video": b"seg"}]
    found = request(mode="transfer", controls=controls, video=b"video", sound=b"sound")
    assert found.media() == {"video": b"video", "sound": b"sound", "control_depth": b"depth"}
