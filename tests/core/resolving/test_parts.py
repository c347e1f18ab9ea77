"""Numbers of requests in parts and of what is given whole: chunks, states, controls, soundtracks (spec 8, 9.4, 9.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import read_inputs
from cosmos3_core.media.clips import VideoClip
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import Part, ResolvedRequest
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.guidance import Branch
from tests.published import EDGE, NANO

SQUARE = np.zeros((64, 64, 3), np.uint8)
ROWS = np.zeros((16, 10), np.float32)
SILENCE = np.zeros((2, 1000), np.float32)


def clip(frames: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.zeros((frames, 64, 64, 3), np.uint8)


def resolved(model: ModelFacts = NANO, **fields: Any) -> ResolvedRequest:
    request = GenerationRequest(**{"prompt": "a robot"} | fields)
    return resolve(request, model, read_inputs(request))


def action(mode: str, **fields: Any) -> ResolvedRequest:
    media = {"video": clip(41)} if mode == "inverse_dynamics" else {"image": SQUARE}
    return resolved(**{"mode": mode, "domain_name": "umi"} | media | fields)


def transfer(*kinds: str, **fields: Any) -> ResolvedRequest:
    controls = [{"kind": kind, "video": clip(9)} for kind in kinds]
    return resolved(**{"mode": "transfer", "controls": controls} | fields)


# Actions


@pytest.mark.parametrize(
    ("mode", "fields", "frames", "parts"),
    [
        ("forward_dynamics", {"action": ROWS, "action_chunk_size": 8}, 17, 2),
        ("forward_dynamics", {"action": ROWS, "action_chunk_size": 12}, 25, 2),
        ("forward_dynamics", {"action": ROWS}, 17, 1),
        ("policy", {"action_chunk_size": 8, "num_frames": 25}, 25, 3),
        ("policy", {"action_chunk_size": 8}, 9, 1),
        ("inverse_dynamics", {"action_chunk_size": 8, "num_frames": 41}, 41, 5),
        ("inverse_dynamics", {"action_chunk_size": 8}, 9, 1),
    ],
)
def test_actions_of_several_chunks_are_made_in_parts(
    mode: str, fields: dict[str, Any], frames: int, parts: int
) -> None:
    found = action(mode, **fields)
    assert found.num_frames == frames and len(found.parts) == parts
    assert found.action is not None and found.layout.action_rows == found.action.chunk
    # The caption speaks of one chunk.
    assert f'"duration": "{int(found.part_frames / found.fps)}s"' in found.positive
    for index, part in enumerate(found.parts):
        start = index * found.action.chunk
        assert part == Part(index, start, start + found.action.chunk + 1, min(index, 1))


@pytest.mark.parametrize(("frames", "chunk"), [(5, 4), (8, 4), (9, 8), (16, 12), (17, 16), (41, 16)])
def test_a_video_without_a_chunk_is_answered_for_what_is_there(frames: int, chunk: int) -> None:
    found = action("inverse_dynamics", video=clip(frames))
    assert found.action is not None and (found.action.chunk, found.num_frames) == (chunk, chunk + 1)
    assert found.layout.clean_frames == tuple(range(found.layout.frames)) and found.layout.action_rows == chunk


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"video": clip(16), "action_chunk_size": 16}, "has 16 frames; 16 actions need 17"),
        ({"video": clip(8), "num_frames": 9}, "has 8 frames; 8 actions need 9"),
        ({"video": clip(24), "num_frames": 25, "action_chunk_size": 8}, "has 24 frames; 24 actions need 25"),
        ({"video": clip(4)}, "has 4 frames; 16 actions need 17"),
    ],
)
def test_a_video_that_is_shorter_than_the_chunk_asked_for_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RequestError) as error:
        action("inverse_dynamics", **fields)
    assert error.value.field == "video" and error.value.reason.startswith(reason)


def test_the_state_and_its_history_come_before_the_actions() -> None:
    found = action("policy", state=ROWS[:1], action_chunk_size=8)
    assert (found.layout.action_rows, found.layout.clean_rows, found.layout.first_row_frame) == (9, (0,), 0)
    assert found.action is not None and found.action.state_rows == 1 and found.num_frames == 9
    history = action("policy", state=ROWS[:3], action_chunk_size=8)
    assert (history.layout.action_rows, history.layout.clean_rows, history.layout.first_row_frame) == (
        11,
        (0, 1, 2),
        -2,
    )


def test_the_joint_space_of_droid_is_eight_wide() -> None:
    named = {"domain_name": "droid_lerobot", "action_chunk_size": 32}
    found = action("policy", **named, raw_action_dim=8, state=ROWS[:1, :8])
    assert found.action is not None and (found.action.domain, found.action.width) == (8, 8)
    assert (found.num_frames, found.layout.action_width, found.layout.action_rows) == (33, 8, 33)
    with pytest.raises(RequestError, match="state rows are 8 wide; expected 10"):
        action("policy", **named, state=ROWS[:1, :8])


@pytest.mark.parametrize(
    ("mode", "fields", "field"),
    [
        ("policy", {"state": ROWS[:1, :9]}, "state"),
        ("policy", {"state": ROWS[:9], "action_chunk_size": 8}, "state"),
        ("policy", {"state": ROWS[:1], "action_chunk_size": 8, "num_frames": 17}, "state"),
        ("forward_dynamics", {"state": ROWS[:1], "action": ROWS}, "state"),
        ("inverse_dynamics", {"state": ROWS[:1]}, "state"),
    ],
)
def test_a_state_that_cannot_be_used_is_refused(mode: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as error:
        action(mode, **fields)
    assert error.value.field == field


# Transfer


@pytest.mark.parametrize(
    ("kinds", "control", "text", "fps", "longest"),
    [
        (("edge",), 1.5, 3.0, 24.0, 93),
        (("seg",), 2.0, 3.0, 24.0, 93),
        (("wsm",), 3.0, 1.0, 10.0, 101),
        (("wsm", "depth"), 1.5, 3.0, 24.0, 93),
    ],
)
def test_numbers_that_a_request_leaves_out_are_those_of_its_control(
    kinds: tuple[str, ...], control: float, text: float, fps: float, longest: int
) -> None:
    long = [{"kind": kind, "video": clip(120)} for kind in kinds]
    found = transfer(*kinds, controls=long)
    guidance = found.sampling.guidance
    assert (guidance.control_scale, guidance.scale, found.fps, found.part_frames) == (control, text, fps, longest)
    assert found.sampling.schedule == schedules.flow(35, 10.0)
    asked = transfer(*kinds, control_guidance=1.0, guidance_scale=2.0, fps=30).sampling.guidance
    assert (asked.control_scale, asked.scale) == (1.0, 2.0)
    assert asked.branches == (Branch.CONDITIONAL, Branch.UNCONDITIONAL)
    plain = transfer(*kinds, preset="diffusers").sampling.guidance
    assert (plain.control_scale, plain.scale) == (1.0, 6.0)


def test_edge_transfers_with_the_same_numbers() -> None:
    found = resolved(EDGE, mode="transfer", controls=[{"kind": "depth", "video": clip(9)}])
    assert (found.sampling.guidance.control_scale, found.sampling.schedule) == (1.5, schedules.flow(35, 10.0))


def test_controls_guide_within_their_interval() -> None:
    guidance = transfer("edge", control_guidance_interval=(500, 900)).sampling.guidance
    three = (Branch.CONDITIONAL, Branch.UNCONDITIONAL, Branch.UNCONTROLLED)
    assert [guidance.active(t) == three for t in (499, 500, 900, 901)] == [False, True, True, False]


def test_weights_add_up_to_one() -> None:
    weights = {"edge": 3.0, "depth": 1.0, "seg": 0.0}
    controls = [{"kind": kind, "weight": weight, "video": clip(9)} for kind, weight in weights.items()]
    found = resolved(mode="transfer", controls=controls)
    assert found.layout.given_weights == (0.75, 0.25)
    assert [control.kind for control in found.controls] == ["edge", "depth"]
    assert "Follow the edge, depth control video" in found.positive
    assert transfer("wsm").layout.given_weights == (1.0,)


def test_a_control_of_no_weight_is_as_if_it_was_not_given() -> None:
    left_out = [{"kind": "edge", "video": clip(9)}, {"kind": "seg", "video": clip(30), "weight": 0}]
    assert resolved(mode="transfer", controls=left_out) == transfer("edge")


@pytest.mark.parametrize(
    ("frames", "fields", "parts"),
    [
        (9, {}, [(0, 9, 0)]),
        (10, {}, [(0, 10, 0)]),
        (100, {}, [(0, 93, 0), (92, 100, 1)]),
        (17, {"num_video_frames_per_chunk": 9}, [(0, 9, 0), (8, 17, 1)]),
        (17, {"num_video_frames_per_chunk": 7}, [(0, 9, 0), (8, 17, 1)]),
        (17, {"num_video_frames_per_chunk": 9, "num_conditional_frames": 0}, [(0, 9, 0), (9, 17, 0)]),
        (17, {"num_video_frames_per_chunk": 9, "num_conditional_frames": 5}, [(0, 9, 0), (4, 13, 5), (8, 17, 5)]),
        (17, {"num_video_frames_per_chunk": 33}, [(0, 17, 0)]),
        (30, {"max_frames": 9}, [(0, 9, 0)]),
        (30, {"num_frames": 9}, [(0, 9, 0)]),
        (1, {"num_frames": 17, "num_video_frames_per_chunk": 9}, [(0, 9, 0), (8, 17, 1)]),
        (1, {}, [(0, 1, 0)]),
    ],
)
def test_a_long_control_is_followed_in_parts(
    frames: int, fields: dict[str, Any], parts: list[tuple[int, int, int]]
) -> None:
    found = resolved(mode="transfer", controls=[{"kind": "depth", "video": clip(frames)}], **fields)
    assert [(part.start, part.stop, part.overlap) for part in found.parts] == parts
    assert found.num_frames == parts[-1][1]


def test_the_first_part_may_open_with_frames_of_the_video() -> None:
    depth = [{"kind": "depth", "video": clip(17)}]
    fields: dict[str, Any] = {"mode": "transfer", "controls": depth, "num_video_frames_per_chunk": 9}
    found = resolved(**fields, video=clip(30), num_first_chunk_conditional_frames=5)
    assert [part.overlap for part in found.parts] == [5, 1] and found.layout.clean_frames == (0, 1)
    # The frames that it opens with are frames of the output.
    assert found.parts[0].new_frames == slice(0, 9)
    short = resolved(**fields, video=clip(2), num_first_chunk_conditional_frames=5)
    assert short.parts[0].overlap == 2 and short.layout.clean_frames == (0,)


def test_the_caption_speaks_of_one_part() -> None:
    controls = [{"kind": "depth", "video": VideoClip(clip(100), 29.97)}]
    found = resolved(mode="transfer", controls=controls, prompt='{"a": 1}')
    assert found.fps == pytest.approx(29.97) and found.num_frames == 100 and found.part_frames == 93
    assert found.positive.startswith('{"a": 1, "duration": "3s", "fps": 30')
    assert transfer("edge", emphasize_control_in_prompt=False).positive == "a robot"
    assert transfer("edge", preset="diffusers").positive == "a robot"


@pytest.mark.parametrize(("shared", "expected"), [(None, True), (True, True), (False, False)])
def test_controls_share_the_times_unless_the_request_says_otherwise(shared: bool | None, expected: bool) -> None:
    assert transfer("edge", share_vision_temporal_positions=shared).layout.shared_times is expected


def test_the_canvas_of_a_transfer_is_of_its_tier_in_the_shape_of_the_control() -> None:
    assert transfer("edge").canvas == Canvas(960, 960)
    assert transfer("edge", resolution="256", aspect_ratio="16:9").canvas == Canvas(320, 192)
    assert transfer("edge", width=128, height=96).canvas == Canvas(128, 96)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"controls": []}, "controls"),
        ({"controls": [{"kind": "edge", "video": clip(9), "weight": 0}]}, "controls"),
        ({"controls": [{"kind": "depth"}]}, "control_depth"),
        ({"controls": [{"kind": "edge"}]}, "control_edge"),
        ({"controls": [{"kind": "seg"}], "video": clip(9)}, "control_seg"),
        ({"controls": [{"kind": "edge", "video": clip(9)}], "video": clip(9)}, "video"),
        ({"controls": [{"kind": "edge", "video": b"no clip"}]}, "control_edge"),
        ({"num_first_chunk_conditional_frames": 1}, "video"),
        ({"image": SQUARE}, "image"),
        ({"sound": SILENCE}, "sound"),
        ({"generate_sound": True}, "generate_sound"),
        ({"num_video_frames_per_chunk": 5, "num_conditional_frames": 5}, "num_conditional_frames"),
        ({"control_guidance_interval": (900, 500)}, "control_guidance_interval"),
        ({"domain_name": "umi"}, "domain_name"),
    ],
)
def test_a_transfer_that_cannot_be_made_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as error:
        transfer("depth", **fields)
    assert error.value.field == field


def test_fields_of_transfer_are_refused_in_other_modes() -> None:
    values: dict[str, Any] = {"control_guidance": 2.0, "num_conditional_frames": 1, "max_frames": 9}
    for field, value in values.items():
        with pytest.raises(RequestError, match=f"{field} is not used by text2video"):
            resolved(mode="text2video", **{field: value})
    with pytest.raises(RequestError, match="controls are not used by text2video"):
        resolved(mode="text2video", controls=[{"kind": "edge", "video": clip(9)}])


# Image editing


def test_an_edited_image_keeps_its_shape_and_comes_after_the_given_one() -> None:
    found = resolved(mode="image2image", image=np.zeros((300, 700, 3), np.uint8))
    assert found.canvas == Canvas(512, 192) and found.num_frames == 1
    assert found.layout.given_weights == (1.0,) and not found.layout.shared_times and found.layout.clean_frames == ()
    assert found.sampling.schedule == schedules.flow(35, 5.0) and found.sampling.guidance.scale == 6.0
    assert found.sampling.guidance.branches == (Branch.CONDITIONAL, Branch.UNCONDITIONAL)
    assert found.system_prompt is not None and "edit images" in found.system_prompt
    assert resolved(mode="image2image", image=SQUARE, width=128, height=96).canvas == Canvas(128, 96)


# Soundtracks


@pytest.mark.parametrize("mode", ["text2video", "image2video"])
def test_a_given_soundtrack_is_as_long_as_the_video_and_clean(mode: str) -> None:
    media: dict[str, Any] = {"image": SQUARE} if mode == "image2video" else {}
    found = resolved(mode=mode, sound=SILENCE, num_frames=9, fps=24, **media)
    made = resolved(mode=mode, generate_sound=True, num_frames=9, fps=24, **media)
    assert found.layout == replace(made.layout, clean_sound=True) and found.layout.sound_frames == 10
    assert found.sound_samples == 18_000


@pytest.mark.parametrize(
    ("model", "fields"), [(EDGE, {}), (NANO, {"mode": "text2image"}), (NANO, {"mode": "policy", "domain_name": "umi"})]
)
def test_a_soundtrack_that_cannot_be_followed_is_refused(model: ModelFacts, fields: dict[str, Any]) -> None:
    media = {"image": SQUARE} if fields.get("mode") == "policy" else {}
    with pytest.raises(RequestError) as error:
        resolved(model, **{"mode": "text2video", "sound": SILENCE} | fields | media)
    assert error.value.field == "sound"
