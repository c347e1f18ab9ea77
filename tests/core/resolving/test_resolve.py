"""From a request to numbers: refusals, presets, sizes, chunks, sound, guidance (spec 5.8, 6.6, 7.4, 8)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cosmos3_core.catalog import CATALOG, Family
from cosmos3_core.controls import Control, ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.modes import Mode
from cosmos3_core.prompt import TRANSFER_SYSTEM_PROMPT
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import ResolvedRequest
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.schedule import Schedule
from tests.published import EDGE, NANO

SQUARE = np.zeros((64, 64, 3), np.uint8)
CLIP = np.zeros((41, 64, 64, 3), np.uint8)
ROWS = np.arange(160, dtype=np.float32).reshape(16, 10)
DISTILLED = replace(NANO, scheduler=replace(NANO.scheduler, fixed_levels=(1.0, 0.9375, 0.8333333, 0.625)))
PRESETS = ["vllm-omni", "diffusers", "framework"]

# The least that each mode asks for.
LEAST: dict[str, dict[str, Any]] = {
    "text2image": {},
    "image2image": {"image": SQUARE},
    "text2video": {},
    "image2video": {"image": SQUARE},
    "video2video": {"video": CLIP},
    "transfer": {"controls": [{"kind": "depth", "video": CLIP}]},
    "forward_dynamics": {"image": SQUARE, "action": ROWS, "domain_name": "umi"},
    "inverse_dynamics": {"video": CLIP, "domain_name": "umi"},
    "policy": {"image": SQUARE, "domain_name": "umi"},
}
ACTION_MODES = ["forward_dynamics", "inverse_dynamics", "policy"]
VIDEO_MODES = ["text2video", "image2video", "video2video"]


def resolved(model: ModelFacts = NANO, mode: str = "text2video", **fields: Any) -> ResolvedRequest:
    """As an ingress does it: read the media, then decide every number."""
    request = GenerationRequest(**{"prompt": "a robot", "mode": mode, **LEAST[mode], **fields})
    return resolve(request, model, read_inputs(request))


@pytest.mark.parametrize("mode", LEAST)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", [NANO, EDGE], ids=["nano", "edge"])
def test_every_mode_is_served_with_nothing_said(model: ModelFacts, preset: str, mode: str) -> None:
    found = resolved(model, mode, preset=preset)
    assert found.mode is Mode(mode)
    assert (found.sampling.seed, found.action is not None) == (42, Mode(mode).is_action)
    assert found.num_frames == 1 + 4 * (found.layout.frames - 1)
    assert found.layout.fps == found.fps


def test_what_vllm_omni_serves_is_served() -> None:
    assert [resolved(num_frames=frames).num_frames for frames in (1, 2, 4, 5, 6)] == [1, 5, 5, 5, 9]
    floored = resolved(width=1000, height=540).canvas
    assert (floored.width, floored.height) == (992, 528)
    # Nothing is left to generate, and the latents are those of the video.
    fixed = resolved(mode="video2video", num_frames=5, condition_frame_indexes_vision=(0, 1))
    assert fixed.layout.clean_frames == (0, 1) and fixed.layout.frames == 2
    named = resolved(mode="policy", domain_name="marvin", domain_id=6, raw_action_dim=10)
    assert named.action is not None and named.action.domain == 6


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"preset": "sglang"}, "preset"),
        ({"mode": "text2image", "num_frames": 5}, "num_frames"),
        ({"num_frames": 401}, "num_frames"),
        ({"fps": 0.9}, "fps"),
        ({"fps": 61}, "fps"),
        ({"mode": "policy", "fps": 61}, "fps"),
        ({"width": 640}, "height"),
        ({"height": 640}, "width"),
        ({"width": 50, "height": 640}, "width"),
        ({"width": 640, "height": 48}, "height"),
        ({"width": 8192, "height": 8192}, "width"),
        ({"resolution": "4k"}, "resolution"),
        ({"resolution": "480", "aspect_ratio": "2:1"}, "aspect_ratio"),
        ({"mode": "policy", "resolution": "768"}, "resolution"),
        ({"guidance_interval": (-1, 1000)}, "guidance_interval"),
        ({"guidance_interval": (0, 1001)}, "guidance_interval"),
        ({"guidance_interval": (700, 400)}, "guidance_interval"),
        ({"guidance_interval": (0, math.nan)}, "guidance_interval"),
        ({"schedule": "fixed"}, "schedule"),
        ({"action": ROWS}, "action"),
        ({"mode": "policy", "action": ROWS}, "action"),
        ({"mode": "inverse_dynamics", "action": ROWS}, "action"),
        ({"mode": "forward_dynamics", "action": None}, "action"),
        ({"mode": "forward_dynamics", "action": ROWS[:, :9]}, "action"),
        ({"mode": "forward_dynamics", "action": ROWS, "raw_action_dim": 7}, "action"),
        ({"domain_name": "umi"}, "domain_name"),
        ({"domain_id": 6}, "domain_id"),
        ({"raw_action_dim": 10}, "raw_action_dim"),
        ({"action_chunk_size": 16}, "action_chunk_size"),
        ({"mode": "policy", "domain_name": None}, "domain_name"),
        ({"mode": "policy", "domain_name": "marvin"}, "domain_name"),
        ({"mode": "policy", "domain_id": 32}, "domain_id"),
        ({"mode": "policy", "domain_name": "libero"}, "raw_action_dim"),
        ({"mode": "policy", "domain_id": 10}, "raw_action_dim"),
        ({"mode": "policy", "raw_action_dim": 65}, "raw_action_dim"),
        ({"mode": "policy", "action_chunk_size": 15}, "action_chunk_size"),
        ({"mode": "policy", "action_chunk_size": 16, "num_frames": 34}, "num_frames"),
        ({"mode": "policy", "view_point": "bird_view"}, "view_point"),
        ({"sound_duration": 3}, "sound_duration"),
        ({"generate_sound": True, "sound_duration": 121}, "sound_duration"),
        ({"mode": "text2image", "generate_sound": True}, "generate_sound"),
        ({"mode": "policy", "generate_sound": True}, "generate_sound"),
        ({"mode": "video2video", "condition_frame_indexes_vision": 48}, "condition_frame_indexes_vision"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as error:
        resolved(**fields)
    assert error.value.field == field
    assert str(error.value) == f"{field} {error.value.reason}"


@pytest.mark.parametrize(
    ("model", "mode", "fields", "field"),
    [
        (EDGE, "text2video", {"generate_sound": True}, "generate_sound"),
        (replace(NANO, sound=None), "text2video", {"generate_sound": True}, "generate_sound"),
        (replace(NANO, config=replace(NANO.config, action_gen=False)), "policy", {}, "mode"),
        (replace(NANO, modes=(Mode.TEXT_TO_IMAGE,)), "text2video", {}, "mode"),
        (replace(NANO, config=replace(NANO.config, action_dim=8)), "policy", {}, "raw_action_dim"),
        (
            replace(NANO, config=replace(NANO.config, num_embodiment_domains=4)),
            "policy",
            {"domain_id": 6},
            "domain_id",
        ),
    ],
    ids=[
        "sound on edge",
        "sound without a tokenizer",
        "no actions",
        "other modes",
        "narrow actions",
        "few domains",
    ],
)
def test_what_a_checkpoint_cannot_do_is_refused(
    model: ModelFacts, mode: str, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(RequestError) as error:
        resolved(model, mode, **fields)
    assert error.value.field == field


HD, EDGE_SIZE = Canvas(1280, 720), Canvas(832, 480)
OFTEN = (400.0, 1000.0)
KARRAS, NATIVE = schedules.karras(35, 0.147, 200.0), schedules.flow(35, 3.0)


@pytest.mark.parametrize(
    ("preset", "model", "mode", "schedule", "scale", "interval", "canvas", "frames"),
    [
        ("vllm-omni", NANO, "text2video", schedules.flow(35, 10), 6.0, None, HD, 189),
        ("vllm-omni", NANO, "text2image", schedules.flow(50, 3), 7.0, OFTEN, Canvas(1024, 1024), 1),
        ("vllm-omni", NANO, "policy", schedules.flow(30, 5), 1.0, None, Canvas(640, 640), 17),
        ("vllm-omni", EDGE, "text2video", schedules.flow(35, 3), 5.0, None, EDGE_SIZE, 189),
        ("vllm-omni", EDGE, "text2image", schedules.flow(50, 3), 7.0, OFTEN, Canvas(640, 640), 1),
        ("vllm-omni", EDGE, "policy", schedules.flow(30, 5), 1.0, None, Canvas(640, 640), 17),
        ("diffusers", NANO, "text2video", KARRAS, 6.0, None, HD, 189),
        ("diffusers", NANO, "text2image", KARRAS, 6.0, None, HD, 1),
        ("diffusers", NANO, "policy", schedules.karras(30, 0.147, 200.0), 1.0, None, Canvas(640, 640), 17),
        ("diffusers", EDGE, "text2video", NATIVE, 6.0, None, HD, 189),
        ("diffusers", EDGE, "text2image", NATIVE, 6.0, None, HD, 1),
        ("diffusers", EDGE, "policy", schedules.flow(30, 3), 1.0, None, Canvas(640, 640), 17),
        ("framework", NANO, "text2video", schedules.flow(35, 10), 6.0, None, HD, 189),
        ("framework", NANO, "text2image", schedules.flow(50, 3), 4.0, None, HD, 1),
        ("framework", NANO, "policy", schedules.flow(30, 10), 1.0, None, Canvas(256, 256), 17),
        ("framework", EDGE, "text2video", schedules.flow(35, 3), 5.0, None, EDGE_SIZE, 121),
        ("framework", EDGE, "text2image", schedules.flow(50, 3), 4.0, None, Canvas(640, 640), 1),
        ("framework", EDGE, "policy", schedules.flow(30, 10), 1.0, None, Canvas(256, 256), 17),
    ],
)
def test_the_defaults_are_a_column_of_the_specification(
    preset: str,
    model: ModelFacts,
    mode: str,
    schedule: Schedule,
    scale: float,
    interval: tuple[float, float] | None,
    canvas: Canvas,
    frames: int,
) -> None:
    found = resolved(model, mode, preset=preset)
    assert found.sampling.schedule == schedule
    assert (found.sampling.guidance.scale, found.sampling.guidance.interval) == (scale, interval)
    assert (found.canvas, found.num_frames, found.fps) == (canvas, frames, 24.0)


def published(name: str, **changes: Any) -> ModelFacts:
    """Nano's facts with the modes and the numbers of another published checkpoint."""
    entry = CATALOG[f"nvidia/Cosmos3-{name}"]
    return replace(NANO, family=entry.family, modes=entry.modes, numbers=entry.numbers, **changes)


IMAGES, VIDEOS, POLICY = (published(name) for name in ("Super-Text2Image", "Super-Image2Video", "Nano-Policy-DROID"))
EDGE_POLICY = published("Edge-Policy-DROID")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_numbers_of_a_checkpoint_win_over_the_presets(preset: str) -> None:
    assert resolved(IMAGES, "text2image", preset=preset).canvas == Canvas(1024, 1024)
    assert resolved(VIDEOS, "image2video", preset=preset).sampling.schedule.shift == 1.0
    policy = resolved(POLICY, "policy", domain_name=None, preset=preset)
    assert (policy.sampling.steps, policy.sampling.guidance.scale) == (4, 3.0)
    assert policy.sampling.schedule.shift == 5.0
    assert (policy.fps, policy.num_frames, policy.canvas) == (15.0, 33, Canvas(640, 640))
    assert policy.system_prompt is None
    assert policy.action is not None
    assert (policy.action.domain, policy.action.width, policy.action.chunk) == (8, 8, 32)
    assert "concatenated views" in policy.positive


def test_the_four_steps_of_a_policy_are_the_published_ones() -> None:
    found = resolved(POLICY, "policy", domain_name=None).sampling.schedule
    assert [math.trunc(timestep) for timestep in found.timesteps] == [999, 937, 833, 624]


def test_the_policy_of_edge_guides_in_its_first_step_only() -> None:
    for preset in PRESETS:
        sampling = resolved(EDGE_POLICY, "policy", domain_name=None, preset=preset).sampling
        branches = [len(sampling.guidance.active(timestep)) for timestep in sampling.schedule.timesteps]
        assert branches == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("fields", "read", "value"),
    [
        ({"num_inference_steps": 10}, lambda r: r.sampling.steps, 10),
        ({"guidance_scale": 1.0}, lambda r: r.sampling.guidance.scale, 1.0),
        ({"flow_shift": 10.0}, lambda r: r.sampling.schedule.shift, 10.0),
        ({"fps": 5}, lambda r: r.fps, 5.0),
        ({"resolution": "256"}, lambda r: r.canvas, Canvas(256, 256)),
        ({"view_point": "ego_view"}, lambda r: "first-person" in r.positive, True),
        ({"use_system_prompt": True}, lambda r: r.system_prompt is None, False),
        ({"action_chunk_size": 16}, lambda r: (r.action.chunk, r.num_frames), (16, 17)),
        ({"num_frames": 17}, lambda r: (r.action.chunk, r.num_frames), (16, 17)),
        ({"raw_action_dim": 10}, lambda r: r.action.width, 10),
        ({"domain_id": 8}, lambda r: r.action.width, 8),
        ({"domain_name": "DROID_lerobot"}, lambda r: r.action.width, 8),
        ({"domain_name": "umi"}, lambda r: (r.action.domain, r.action.width), (6, 10)),
        ({"domain_id": 6}, lambda r: (r.action.domain, r.action.width), (6, 10)),
    ],
)
def test_a_value_of_the_request_wins_over_the_checkpoints(
    fields: dict[str, Any], read: Callable[[ResolvedRequest], object], value: object
) -> None:
    assert read(resolved(POLICY, "policy", **{"domain_name": None, **fields})) == value


def test_a_distilled_checkpoint_ignores_nothing_of_its_own() -> None:
    levels = replace(NANO.scheduler, fixed_levels=(1.0, 0.9375, 0.8333333, 0.625))
    found = resolved(published("Super-Image2Video-4Step", scheduler=levels), "image2video")
    assert (found.sampling.steps, found.ignored) == (4, ())


def test_the_size_of_transfer_is_one_that_the_checkpoint_was_trained_on() -> None:
    sizes = {"vllm-omni": Canvas(640, 640), "framework": Canvas(640, 640), "diffusers": Canvas(960, 960)}
    for preset, size in sizes.items():
        assert resolved(EDGE, "transfer", preset=preset).canvas == size
        assert resolved(NANO, "transfer", preset=preset).canvas == Canvas(960, 960)


def test_the_sampler_of_transfer_is_the_same_for_edge() -> None:
    assert resolved(EDGE, "transfer").sampling == resolved(NANO, "transfer").sampling


def test_super_takes_the_numbers_of_nano() -> None:
    giant = replace(NANO, family=Family.SUPER)
    for mode in LEAST:
        assert resolved(giant, mode).sampling.schedule == resolved(NANO, mode).sampling.schedule
        assert resolved(giant, mode).canvas == resolved(NANO, mode).canvas


@pytest.mark.parametrize("mode", VIDEO_MODES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_video_modes_share_their_numbers(preset: str, mode: str) -> None:
    found, plain = resolved(mode=mode, preset=preset), resolved(preset=preset)
    assert (found.sampling.schedule, found.sampling.guidance, found.num_frames) == (
        plain.sampling.schedule,
        plain.sampling.guidance,
        plain.num_frames,
    )


@pytest.mark.parametrize(
    ("preset", "noise", "inclusive", "above_one", "tokens"),
    [
        ("vllm-omni", "torch", True, True, 4096),
        ("diffusers", "torch", True, False, None),
        ("framework", "numpy", False, False, None),
    ],
)
def test_the_conventions_of_each_implementation(
    preset: str, noise: str, inclusive: bool, above_one: bool, tokens: int | None
) -> None:
    found = resolved(preset=preset)
    assert found.sampling.noise == noise
    assert (found.sampling.guidance.inclusive, found.sampling.guidance.only_above_one) == (inclusive, above_one)
    assert found.max_prompt_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "read", "value"),
    [
        ({"num_inference_steps": 7}, lambda r: r.sampling.schedule, schedules.flow(7, 10.0)),
        ({"flow_shift": 2.5}, lambda r: r.sampling.schedule, schedules.flow(35, 2.5)),
        ({"schedule": "linspace"}, lambda r: r.sampling.schedule, schedules.linspace(35, 10.0)),
        ({"schedule": "karras"}, lambda r: r.sampling.schedule, schedules.karras(35, 0.147, 200.0)),
        ({"guidance_scale": 0.0}, lambda r: r.sampling.guidance.scale, 0.0),
        ({"guidance_scale": 3.0}, lambda r: r.sampling.guidance.scale, 3.0),
        ({"guidance_interval": (960, 1001 - 1)}, lambda r: r.sampling.guidance.interval, (960.0, 1000.0)),
        ({"seed": -3}, lambda r: r.sampling.seed, -3),
        ({"fps": 16}, lambda r: (r.fps, r.layout.fps), (16.0, 16.0)),
        ({"num_frames": 61}, lambda r: (r.num_frames, r.layout.frames), (61, 16)),
        ({"num_frames": 60}, lambda r: (r.num_frames, r.layout.frames), (61, 16)),
        ({"width": 512, "height": 768}, lambda r: (r.canvas, r.layout.height), (Canvas(512, 768), 48)),
        ({"resolution": "480"}, lambda r: r.canvas, Canvas(832, 480)),
        ({"resolution": "256", "aspect_ratio": "3:4"}, lambda r: r.canvas, Canvas(256, 320)),
        ({"max_sequence_length": 77}, lambda r: r.max_prompt_tokens, 77),
        ({"negative_prompt": "blurry"}, lambda r: r.negative, "blurry"),
    ],
)
def test_a_value_of_the_request_wins(
    fields: dict[str, Any], read: Callable[[ResolvedRequest], object], value: object
) -> None:
    assert read(resolved(**fields)) == value
    assert read(resolved()) != value


@pytest.mark.parametrize(
    ("model", "fields", "schedule"),
    [
        (NANO, {"flow_shift": 10}, schedules.linspace(35, 10.0)),
        (NANO, {"schedule": "flow"}, schedules.flow(35, 1.0)),
        (NANO, {"schedule": "karras", "num_inference_steps": 4}, schedules.karras(4, 0.147, 200.0)),
        (EDGE, {"flow_shift": 12, "num_inference_steps": 20}, schedules.flow(20, 12.0)),
        (EDGE, {"schedule": "linspace"}, schedules.linspace(35, 3.0)),
        (
            replace(NANO, scheduler=replace(NANO.scheduler, karras=False, flow_shift=5.0)),
            {},
            schedules.linspace(35, 5.0),
        ),
    ],
)
def test_diffusers_takes_the_spacing_from_the_checkpoint(
    model: ModelFacts, fields: dict[str, Any], schedule: Schedule
) -> None:
    assert resolved(model, preset="diffusers", **fields).sampling.schedule == schedule


def test_a_distilled_checkpoint_has_its_own_levels_and_no_guidance() -> None:
    found = resolved(DISTILLED)
    assert found.sampling.stochastic
    assert found.sampling.schedule == schedules.fixed((1.0, 0.9375, 0.8333333, 0.625))
    assert not found.sampling.guidance.enabled
    assert not resolved(NANO).sampling.stochastic


@pytest.mark.parametrize(
    ("preset", "active"), [("vllm-omni", [False, True, True]), ("framework", [False, False, True])]
)
def test_an_interval_is_read_as_the_implementation_reads_it(preset: str, active: list[bool]) -> None:
    guidance = resolved(preset=preset, guidance_interval=(400, 1000)).sampling.guidance
    assert [len(guidance.active(timestep)) == 2 for timestep in (399.0, 400.0, 401.0)] == active


def test_the_default_interval_can_be_widened_to_all_steps() -> None:
    assert resolved(mode="text2image", guidance_interval=(0, 1000)).sampling.guidance == Guidance(
        7.0, (0.0, 1000.0), inclusive=True, only_above_one=True
    )


@pytest.mark.parametrize(
    ("mode", "fields", "clean"),
    [
        ("text2image", {}, ()),
        ("text2video", {}, ()),
        ("image2video", {}, (0,)),
        ("video2video", {}, (0, 1)),
        ("video2video", {"condition_frame_indexes_vision": (0, 3)}, (0, 3)),
        ("forward_dynamics", {}, (0,)),
        ("inverse_dynamics", {}, (0, 1, 2, 3, 4)),
        ("policy", {}, (0,)),
    ],
)
def test_each_mode_fixes_its_frames(mode: str, fields: dict[str, Any], clean: tuple[int, ...]) -> None:
    layout = resolved(mode=mode, **fields).layout
    assert layout.clean_frames == clean
    assert layout.first_row_frame == 1
    assert not layout.clean_sound


@pytest.mark.parametrize("mode", ACTION_MODES)
def test_actions_bring_their_rows_width_and_domain(mode: str) -> None:
    found = resolved(mode=mode, action_chunk_size=8, num_frames=9)
    assert found.action is not None
    assert (found.action.domain, found.action.width, found.action.chunk) == (6, 10, 8)
    assert (found.layout.domain, found.layout.action_width, found.layout.action_rows) == (6, 10, 8)
    assert (found.num_frames, found.layout.frames) == (9, 3)
    given = mode == "forward_dynamics"
    assert found.layout.clean_rows == (tuple(range(8)) if given else ())
    assert (found.action.rows is not None) == given


def test_given_actions_are_cut_to_the_frames_asked_for_or_their_last_row_is_repeated() -> None:
    cut = resolved(mode="forward_dynamics", action_chunk_size=4, num_frames=5).action
    assert cut is not None
    assert cut.rows is not None
    assert np.array_equal(cut.rows, ROWS[:4])
    longer = resolved(mode="forward_dynamics", action_chunk_size=20).action
    assert longer is not None
    assert longer.rows is not None
    assert np.array_equal(longer.rows, np.concatenate([ROWS, ROWS[-1:].repeat(4, axis=0)]))


@pytest.mark.parametrize(
    ("fields", "domain", "width"),
    [
        ({"domain_name": "hand_pose"}, 3, 57),
        ({"domain_name": "libero", "raw_action_dim": 7}, 5, 7),
        ({"domain_name": "droid_lerobot", "raw_action_dim": 8}, 8, 8),
        ({"domain_name": "umi", "domain_id": 1}, 1, 9),
        ({"domain_name": None, "domain_id": 10, "raw_action_dim": 64}, 10, 64),
    ],
)
def test_the_width_is_the_tables_unless_the_request_says_one(fields: dict[str, Any], domain: int, width: int) -> None:
    plan = resolved(mode="policy", **fields).action
    assert plan is not None
    assert (plan.domain, plan.width) == (domain, width)


def test_given_rows_say_the_width_where_no_table_does() -> None:
    plan = resolved(mode="forward_dynamics", domain_name="libero", action=ROWS[:, :7]).action
    assert plan is not None
    assert plan.width == 7


@pytest.mark.parametrize(
    ("source", "fields", "canvas"),
    [
        ((480, 640), {}, Canvas(736, 544)),
        ((480, 640), {"resolution": "256"}, Canvas(320, 256)),
        ((720, 1280), {"resolution": "720"}, Canvas(1280, 720)),
        ((540, 640), {}, Canvas(736, 544)),
        ((640, 540), {"resolution": "256"}, Canvas(256, 320)),
        ((480, 640), {"width": 640, "height": 352}, Canvas(640, 352)),
    ],
)
def test_the_canvas_of_actions_is_the_nearest_of_the_tier(
    source: tuple[int, int], fields: dict[str, Any], canvas: Canvas
) -> None:
    picture = np.zeros((*source, 3), np.uint8)
    assert resolved(mode="policy", image=picture, **fields).canvas == canvas


@pytest.mark.parametrize(
    ("preset", "latent"), [("vllm-omni", (30, 52)), ("diffusers", (7, 52)), ("framework", (8, 52))]
)
def test_padding_of_an_action_canvas_is_kept_or_dropped(preset: str, latent: tuple[int, int]) -> None:
    # diffusers floors the source to 1264 x 192 first, which leaves 126 rows of pixels instead of 130.
    picture = np.zeros((200, 1279, 3), np.uint8)
    found = resolved(mode="policy", image=picture, preset=preset, resolution="480")
    assert found.canvas == Canvas(832, 480)
    assert (found.layout.height, found.layout.width) == latent


@pytest.mark.parametrize("mode", ["image2video", "video2video"])
def test_a_tier_takes_its_ratio_from_the_source(mode: str) -> None:
    media = {"image2video": ("image", (100, 60, 3)), "video2video": ("video", (5, 100, 60, 3))}[mode]
    fields: dict[str, Any] = {media[0]: np.zeros(media[1], np.uint8), "resolution": "480"}
    assert resolved(mode=mode, **fields).canvas == Canvas(480, 832)
    assert resolved(mode=mode, **fields, aspect_ratio="1:1").canvas == Canvas(640, 640)


@pytest.mark.parametrize(("model", "canvas"), [(NANO, Canvas(720, 1280)), (EDGE, Canvas(464, 832))])
def test_without_a_size_a_picture_gives_the_shape(model: ModelFacts, canvas: Canvas) -> None:
    assert resolved(model, "image2video", image=np.zeros((1280, 720, 3), np.uint8)).canvas == canvas


@pytest.mark.parametrize(
    ("frames", "fps", "latent", "samples"),
    [
        (189, 24, 197, 378_000),
        (121, 24, 127, 242_000),
        (93, 30, 78, 148_800),
        (5, 60, 3, 4_000),
        (9, 29.97, 8, 14_414),
    ],
)
def test_sound_covers_the_clip(frames: int, fps: float, latent: int, samples: int) -> None:
    for preset in PRESETS:
        found = resolved(generate_sound=True, num_frames=frames, fps=fps, preset=preset)
        assert found.layout.sound_frames == latent
        assert found.sound_samples == (samples if preset == "vllm-omni" else None)


@pytest.mark.parametrize("mode", VIDEO_MODES)
def test_every_video_mode_can_have_sound_of_any_length(mode: str) -> None:
    found = resolved(mode=mode, generate_sound=True, sound_duration=2.0)
    assert (found.layout.sound_frames, found.sound_samples) == (50, 96_000)
    assert resolved(mode=mode).layout.sound_frames == 0
    assert resolved(mode=mode).sound_samples is None


def test_the_rates_of_sound_are_the_checkpoints() -> None:
    assert NANO.sound is not None
    model = replace(NANO, sound=replace(NANO.sound, sampling_rate=16_000, hop=640))
    found = resolved(model, generate_sound=True, sound_duration=1.01)
    assert (found.layout.sound_frames, found.sound_samples) == (26, 16_160)


IMAGE_TEXT = "You are a helpful assistant who will generate images from a give prompt."
VIDEO_TEXT = "You are a helpful assistant who will generate videos from a give prompt."


@pytest.mark.parametrize(
    ("preset", "model", "mode", "system"),
    [
        ("vllm-omni", NANO, "text2image", None),
        ("vllm-omni", NANO, "text2video", None),
        ("vllm-omni", NANO, "video2video", VIDEO_TEXT),
        ("vllm-omni", EDGE, "video2video", VIDEO_TEXT),
        ("vllm-omni", NANO, "policy", None),
        ("diffusers", NANO, "text2image", IMAGE_TEXT),
        ("diffusers", NANO, "image2video", VIDEO_TEXT),
        ("diffusers", NANO, "policy", VIDEO_TEXT),
        ("diffusers", EDGE, "text2image", None),
        ("diffusers", EDGE, "video2video", None),
        ("framework", NANO, "text2image", None),
        ("framework", NANO, "video2video", None),
    ],
)
def test_who_gets_a_system_prompt(preset: str, model: ModelFacts, mode: str, system: str | None) -> None:
    assert resolved(model, mode, preset=preset).system_prompt == system


@pytest.mark.parametrize(
    ("fields", "system"),
    [
        ({"use_system_prompt": True}, VIDEO_TEXT),
        ({"use_system_prompt": True, "mode": "text2image"}, IMAGE_TEXT),
        ({"system_prompt": "Be brief."}, "Be brief."),
        ({"system_prompt": "Be brief.", "use_system_prompt": True}, "Be brief."),
        ({"system_prompt": "Be brief.", "use_system_prompt": False}, None),
        ({"use_system_prompt": False, "mode": "video2video"}, None),
        ({"use_system_prompt": False, "preset": "diffusers"}, None),
    ],
)
def test_a_request_chooses_its_system_prompt(fields: dict[str, Any], system: str | None) -> None:
    assert resolved(**fields).system_prompt == system


def test_a_transfer_of_diffusers_has_its_system_prompt_with_every_checkpoint() -> None:
    fields: dict[str, Any] = {"mode": "transfer", "prompt": "a robot", "preset": "diffusers"}
    request = GenerationRequest(**fields, controls=(Control(kind=ControlKind.EDGE, video=CLIP),))
    assert resolve(request, EDGE, read_inputs(request)).system_prompt == TRANSFER_SYSTEM_PROMPT


LENGTH = "The video is 7.9 seconds long and is of 24 FPS."
SIZE = "This video is of 720x1280 resolution."


@pytest.mark.parametrize(
    ("fields", "positive", "negative"),
    [
        ({}, "a robot", ""),
        ({"preset": "framework"}, f"a robot. {LENGTH} {SIZE}", f"{LENGTH} {SIZE}"),
        (
            {"preset": "diffusers", "negative_prompt": "dull."},
            f"a robot. {LENGTH} {SIZE}",
            "dull. The video is not 7.9 seconds long and is not of 24 FPS. This video is not of 720x1280 resolution.",
        ),
        ({"use_resolution_template": True}, f"a robot. {SIZE}", "This video is not of 720x1280 resolution."),
        ({"use_duration_template": True, "negative_metadata_mode": "none"}, f"a robot. {LENGTH}", ""),
        ({"use_duration_template": True, "negative_metadata_mode": "same"}, f"a robot. {LENGTH}", LENGTH),
        ({"preset": "framework", "use_resolution_template": False}, f"a robot. {LENGTH}", LENGTH),
    ],
)
def test_metadata_sentences_follow_preset_and_request(fields: dict[str, Any], positive: str, negative: str) -> None:
    found = resolved(**fields)
    assert (found.positive, found.negative) == (positive, negative)


def test_a_structured_prompt_names_the_ratio_that_was_asked_for() -> None:
    found = resolved(prompt='{"a": 1}', resolution="480", aspect_ratio="9:16", fps=10, num_frames=61)
    assert found.positive == (
        '{"a": 1, "duration": "6s", "fps": 10.0, "resolution": {"H": 832, "W": 480}, "aspect_ratio": "9,16"}'
    )
    assert "aspect_ratio" not in resolved(prompt='{"a": 1}', resolution="480").positive
    assert "aspect_ratio" in resolved(prompt='{"a": 1}', resolution="480", preset="framework").positive


def test_the_negative_of_actions_stays_raw() -> None:
    for preset in PRESETS:
        assert resolved(mode="policy", preset=preset).negative == ""
        assert resolved(mode="policy", preset=preset, negative_prompt="dull").negative == "dull"


def test_resolving_twice_gives_the_same() -> None:
    assert resolved(seed=5, generate_sound=True) == resolved(seed=5, generate_sound=True)


def test_resolving_needs_no_media_for_text() -> None:
    request = GenerationRequest(mode=Mode.TEXT_TO_VIDEO, prompt="a robot")
    assert resolve(request, NANO, MediaInputs()) == resolved()
