"""From a request, a checkpoint's facts and its media to concrete numbers: nothing is left to a default afterwards.

This is the only place where presets, family and request meet. It loads nothing and draws nothing, so an ingress can
refuse a bad request before any stage sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cosmos3_core import geometry
from cosmos3_core.catalog import ALL_MODES, Family
from cosmos3_core.controls import Control, control_defaults, directive
from cosmos3_core.embodiments import find_embodiment
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.modes import Actions, Clean, Given, Mode
from cosmos3_core.presets import ModeDefaults, Preset, find_preset
from cosmos3_core.prompt import (
    EDIT_SYSTEM_PROMPT,
    IMAGE_SYSTEM_PROMPT,
    TRANSFER_SYSTEM_PROMPT,
    VIDEO_SYSTEM_PROMPT,
    ClipFacts,
    MetadataRules,
    action_caption,
    negative_text,
    positive_text,
)
from cosmos3_core.request import MAX_LONG_FRAMES, SMALLEST_CHUNK, GenerationRequest
from cosmos3_core.resolved import ActionPlan, Part, ResolvedRequest, cut, opening_frames
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.guidance import Guidance, Interval
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import Schedule, ScheduleKind

if TYPE_CHECKING:
    # It imports what decodes media, which a model's card and a gang's leader never do.
    from cosmos3_core.inputs import MediaInputs

MAX_SOUND_SECONDS = 120.0
ACTION_FIELDS = ("domain_name", "domain_id", "raw_action_dim", "action_chunk_size", "view_point", "state")
CONTINUATION_FIELDS = ("condition_frame_indexes_vision", "condition_video_keep")
TRANSFER_FIELDS = (
    "control_guidance",
    "control_guidance_interval",
    "num_video_frames_per_chunk",
    "num_conditional_frames",
    "num_first_chunk_conditional_frames",
    "max_frames",
    "share_vision_temporal_positions",
    "emphasize_control_in_prompt",
)
SYSTEM_PROMPTS = {Mode.TRANSFER: TRANSFER_SYSTEM_PROMPT, Mode.IMAGE_TO_IMAGE: EDIT_SYSTEM_PROMPT}


@dataclass(frozen=True)
class SoundFacts:
    """The sound tokenizer's rates: samples per second, samples per latent frame."""

    sampling_rate: int
    hop: int


@dataclass(frozen=True)
class SchedulerFacts:
    """What `scheduler/scheduler_config.json` and `model_index.json` say about noise levels."""

    flow_shift: float = 1.0
    karras: bool = False
    sigma_min: float = 0.147
    sigma_max: float = 200.0
    native_flow: bool = False
    fixed_levels: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What a request must know of a checkpoint."""

    config: TransformerConfig
    family: Family
    scheduler: SchedulerFacts
    sound: SoundFacts | None = None
    default_system_prompt: bool = True
    modes: tuple[Mode, ...] = ALL_MODES


def resolve(request: GenerationRequest, model: ModelFacts, inputs: MediaInputs) -> ResolvedRequest:
    """Decide every number of a request.

    Raises:
        RequestError: something contradicts itself, the mode or the checkpoint; it names the field.
    """
    preset = find_preset(request.preset)
    defaults = _defaults(request, preset, model)
    _check_mode(request, model)
    action = _action(request, model, inputs)
    fps = _fps(request, defaults, inputs)
    num_frames, parts, part_frames = _length(request, defaults, action, fps, inputs)
    canvas = _canvas(request, preset, defaults, inputs)
    clip = ClipFacts(canvas, part_frames, fps)
    positive, negative = _texts(request, preset, clip)
    sound_frames, sound_samples = _sound(request, model, preset, clip)
    layout = _layout(request, preset, inputs, clip, action, sound_frames)
    if request.mode.row.clean is Clean.OPENING:
        layout = replace(layout, clean_frames=opening_frames(parts[0].overlap))
    return ResolvedRequest(
        mode=request.mode,
        preset=preset,
        canvas=canvas,
        num_frames=num_frames,
        fps=fps,
        layout=layout,
        positive=positive,
        negative=negative,
        system_prompt=_system_prompt(request, preset, model),
        max_prompt_tokens=request.max_sequence_length or preset.max_prompt_tokens,
        sampling=_sampling(request, preset, defaults, model.scheduler),
        controls=_controls(request),
        action=action,
        sound_samples=sound_samples,
        parts=parts,
        ignored=_ignored(request, model.scheduler),
    )


def _defaults(request: GenerationRequest, preset: Preset, model: ModelFacts) -> ModeDefaults:
    """The numbers of the mode, and of the controls where they have their own."""
    defaults = preset.defaults(request.mode, model.family)
    if request.mode.row.given is not Given.CONTROLS:
        return defaults
    # Edge's own numbers are for text; transfer has one set for all members (spec 9.4).
    defaults = replace(preset.video, canvas=defaults.canvas)
    kinds = tuple(control.kind for control in _controls(request))
    if not preset.control_defaults:
        return defaults
    found = control_defaults(kinds)
    return replace(defaults, guidance_scale=found.guidance_scale, fps=found.fps or defaults.fps)


def _controls(request: GenerationRequest) -> tuple[Control, ...]:
    """The controls that are used, without their videos; one of weight 0 is as if it was not given."""
    return tuple(control.model_copy(update={"video": None}) for control in request.controls if control.weight > 0)


def _check_mode(request: GenerationRequest, model: ModelFacts) -> None:
    mode = request.mode
    if mode not in model.modes:
        raise RequestError("mode", f"is {mode.value}; this checkpoint does {', '.join(m.value for m in model.modes)}")
    if mode.is_action and not model.config.action_gen:
        raise RequestError("mode", f"is {mode.value}; this checkpoint has no action weights")
    takes_actions = mode.row.actions is Actions.GIVEN
    if request.action is not None and not takes_actions:
        takers = _named(other for other in Mode if other.row.actions is Actions.GIVEN)
        raise RequestError("action", f"is not used by {mode.value}; expected mode {takers}")
    if request.action is None and takes_actions:
        raise RequestError("action", f"is missing; {mode.value} rolls out given actions")
    if not mode.is_action:
        _refuse_given(request, ACTION_FIELDS, "expected an action mode")
    elif not mode.predicts_action or mode.row.clean is Clean.ALL:
        _refuse_given(request, ("state",), f"expected mode {Mode.POLICY.value}")
    if mode.row.given is not Given.CONTROLS:
        _refuse_given(request, TRANSFER_FIELDS, f"expected mode {Mode.TRANSFER.value}")
    if mode.row.clean is not Clean.CHOSEN:
        takers = _named(other for other in Mode if other.row.clean is Clean.CHOSEN)
        _refuse_given(request, CONTINUATION_FIELDS, f"expected mode {takers}")
    if request.schedule is ScheduleKind.KARRAS and request.flow_shift is not None:
        raise RequestError("flow_shift", "is not used by the karras schedule")


def _named(modes: Iterable[Mode]) -> str:
    return " or ".join(mode.value for mode in modes)


def _refuse_given(request: GenerationRequest, fields: tuple[str, ...], expected: str) -> None:
    for field in fields:
        if field in request.model_fields_set and getattr(request, field) is not None:
            raise RequestError(field, f"is not used by {request.mode.value}; {expected}")


def _action(request: GenerationRequest, model: ModelFacts, inputs: MediaInputs) -> ActionPlan | None:
    if not request.mode.is_action:
        return None
    config = model.config
    embodiment = find_embodiment(request.domain_name, request.domain_id, config.num_embodiment_domains)
    given, state = request.action, request.state
    rows_width = next((rows.shape[1] for rows in (given, state) if rows is not None), None)
    width = request.raw_action_dim or embodiment.width or rows_width
    if width is None:
        raise RequestError("raw_action_dim", "is missing; the width of this embodiment depends on its dataset")
    if width > config.action_dim:
        raise RequestError("raw_action_dim", f"is {width}; this checkpoint has {config.action_dim} action channels")
    for field, rows in (("action", given), ("state", state)):
        if rows is not None and rows.shape[1] != width:
            raise RequestError(field, f"rows are {rows.shape[1]} wide; expected {width} for this embodiment")
    chunk, count = _chunks(request, inputs)
    if state is not None and count > 1:
        raise RequestError("state", f"cannot be combined with {count} chunks; the robot's state after one is not known")
    if state is not None and len(state) > chunk:
        raise RequestError("state", f"has {len(state)} rows; expected at most {chunk}, as many as actions")
    rows = None
    if given is not None:
        rows = np.pad(given[: chunk * count], ((0, max(0, chunk * count - len(given))), (0, 0)), mode="edge")
    return ActionPlan(embodiment.domain, width, chunk, rows, state)


def _chunks(request: GenerationRequest, inputs: MediaInputs) -> tuple[int, int]:
    """Length and number of the chunks of actions; those that a video is read for have all their frames."""
    chunk, count = request.action_chunks()
    frames = None if inputs.frames is None else len(inputs.frames)
    if request.mode.row.clean is not Clean.ALL or frames is None or frames > chunk * count:
        return chunk, count
    if request.action_chunk_size is None and request.num_frames is None and frames > SMALLEST_CHUNK:
        return (frames - 1) // SMALLEST_CHUNK * SMALLEST_CHUNK, 1
    needed = chunk * count + 1
    raise RequestError(
        "video", f"has {frames} frames; {chunk * count} actions need {needed}, with one frame between each"
    )


def _fps(request: GenerationRequest, defaults: ModeDefaults, inputs: MediaInputs) -> float:
    if request.fps is not None:
        return request.fps
    if request.mode.row.given is Given.CONTROLS and inputs.fps is not None:
        return inputs.fps
    return defaults.fps


def _length(
    request: GenerationRequest,
    defaults: ModeDefaults,
    action: ActionPlan | None,
    fps: float,
    inputs: MediaInputs,
) -> tuple[int, tuple[Part, ...], int]:
    """Frames of the output, the parts that it is made in, and frames of a part."""
    if request.mode.is_image:
        if request.num_frames not in (None, 1):
            raise RequestError("num_frames", f"is {request.num_frames}; {request.mode.value} makes 1")
        return 1, (Part(),), 1
    if request.mode.row.given is Given.CONTROLS:
        return _transfer_length(request, fps, inputs)
    if action is not None:
        length = geometry.check_video_length(action.chunk + 1, fps)
        total = _chunks(request, inputs)[1] * action.chunk + 1
        return total, _parts(total, length, overlap=1), length
    length = geometry.check_video_length(request.num_frames or defaults.num_frames, fps)
    return length, (Part(stop=length),), length


def _transfer_length(request: GenerationRequest, fps: float, inputs: MediaInputs) -> tuple[int, tuple[Part, ...], int]:
    lengths = [len(frames) for frames in inputs.controls.values()]
    if len(lengths) < len(_controls(request)):
        assert inputs.frames is not None
        lengths.insert(0, len(inputs.frames))
    total = lengths[0]
    if max(lengths) == 1 and request.num_frames is not None:
        total = min(request.num_frames, MAX_LONG_FRAMES)
    asked = request.num_video_frames_per_chunk
    kinds = tuple(control.kind for control in _controls(request))
    longest = control_defaults(kinds).chunk_frames
    # As diffusers, a part is not longer than the video unless that is asked for: the rest would be thrown away.
    length = 1 if total == 1 else geometry.round_up_frames(min(longest, total) if asked is None else asked)
    geometry.check_video_length(length, fps)
    overlap = 1 if request.num_conditional_frames is None else request.num_conditional_frames
    if total > length and overlap >= length:
        raise RequestError("num_conditional_frames", f"is {overlap}; expected fewer than the {length} frames of a part")
    opening = min(request.num_first_chunk_conditional_frames or 0, length)
    if inputs.frames is not None:
        opening = min(opening, len(inputs.frames))
    return total, _parts(total, length, overlap, opening), length


def _parts(total: int, length: int, overlap: int, opening: int = 0) -> tuple[Part, ...]:
    return tuple(
        Part(index, start, min(start + length, total), overlap if index else opening)
        for index, start in enumerate(cut(total, length, overlap))
    )


def _canvas(request: GenerationRequest, preset: Preset, defaults: ModeDefaults, inputs: MediaInputs) -> Canvas:
    if request.resolution is not None and request.resolution not in geometry.SIZES:
        raise RequestError("resolution", f"is {request.resolution!r}; expected one of {', '.join(geometry.SIZES)}")
    if (request.width is None) != (request.height is None):
        missing = "height" if request.height is None else "width"
        raise RequestError(missing, "is missing; give width and height together, or neither")
    if request.width is not None and request.height is not None:
        return geometry.check_canvas(request.width, request.height)
    source = inputs.size
    if request.mode.is_action and source is not None:
        floored = preset.action_source(*source)
        return geometry.action_canvas(request.resolution or preset.action_tier, *floored)
    if request.mode.row.given is Given.PICTURE and source is not None and request.resolution is None:
        return geometry.edit_canvas(*source)
    tier = request.resolution
    if request.mode.row.given is Given.CONTROLS and tier is None:
        tier = geometry.TRANSFER_TIER
    if tier is not None:
        shape = Canvas(*source) if source else defaults.canvas
        ratio = request.aspect_ratio or geometry.nearest_aspect_ratio(shape)
        return geometry.tier_canvas(tier, ratio)
    if source is not None and preset.size_of_input:
        return geometry.canvas_of_area(defaults.canvas.width * defaults.canvas.height, *source)
    return defaults.canvas


def _texts(request: GenerationRequest, preset: Preset, clip: ClipFacts) -> tuple[str, str]:
    negative = request.negative_prompt or ""
    if request.mode.is_action:
        return action_caption(request.prompt, clip, request.view_point, preset), negative
    sentences = preset.metadata_sentences
    resolution, duration = request.use_resolution_template, request.use_duration_template
    rules = MetadataRules(
        resolution_sentence=sentences if resolution is None else resolution,
        duration_sentence=sentences if duration is None else duration,
        json_keys=preset.json_metadata,
        json_aspect_ratio=preset.json_aspect_ratio,
        negative=request.negative_metadata_mode or preset.negative_metadata,
    )
    ratio = request.aspect_ratio
    if request.mode.row.given is Given.CONTROLS:
        return _transfer_texts(request, preset, clip, rules)
    return positive_text(request.prompt, clip, rules, ratio), negative_text(negative, clip, rules, ratio)


def _transfer_texts(
    request: GenerationRequest, preset: Preset, clip: ClipFacts, rules: MetadataRules
) -> tuple[str, str]:
    """The texts of a transfer; their metadata are those of one part, with a whole frame rate (spec 9.4)."""
    positive, negative = request.prompt, request.negative_prompt or ""
    if not preset.verbatim_transfer:
        rules = replace(rules, negative=request.negative_metadata_mode or "same")
        clip = replace(clip, fps=max(1, round(clip.fps)))
        positive = positive_text(positive, clip, rules, request.aspect_ratio)
        negative = negative_text(negative, clip, rules, request.aspect_ratio) if negative else negative
    emphasized = request.emphasize_control_in_prompt
    if emphasized or (emphasized is None and not preset.verbatim_transfer):
        sentence = directive(tuple(control.kind for control in _controls(request)))
        positive = f"{positive.rstrip()} {sentence}".lstrip()
    return positive, negative


def _system_prompt(request: GenerationRequest, preset: Preset, model: ModelFacts) -> str | None:
    if preset.system_prompt is None:
        # diffusers' transfer has a switch of its own, which is on for every checkpoint (spec 4.3).
        by_default = model.default_system_prompt or request.mode is Mode.TRANSFER
    else:
        by_default = request.mode in preset.system_prompt
    wanted, text = request.use_system_prompt, request.system_prompt
    if wanted is False or text == "" or (wanted is None and text is None and not by_default):
        return None
    own = SYSTEM_PROMPTS.get(request.mode, IMAGE_SYSTEM_PROMPT if request.mode.is_image else VIDEO_SYSTEM_PROMPT)
    return text or own


def _sound(request: GenerationRequest, model: ModelFacts, preset: Preset, clip: ClipFacts) -> tuple[int, int | None]:
    """Latent sound frames, and how many samples to keep of what they decode to."""
    field = "generate_sound" if request.sound is None else "sound"
    if not request.generate_sound and request.sound is None:
        if request.sound_duration is not None:
            raise RequestError("sound_duration", "is given without generate_sound")
        return 0, None
    if not request.mode.row.sound:
        raise RequestError(field, f"cannot be combined with {request.mode.value}; expected a video mode")
    if model.sound is None or not model.config.sound_gen:
        raise RequestError(field, "is given; this checkpoint has no sound weights")
    seconds = clip.duration if request.sound_duration is None else request.sound_duration
    if seconds > MAX_SOUND_SECONDS:
        field = "num_frames" if request.sound_duration is None else "sound_duration"
        raise RequestError(field, f"means {seconds:g} s of sound; expected at most {MAX_SOUND_SECONDS:g} s")
    rate, hop = model.sound.sampling_rate, model.sound.hop
    samples = round(seconds * rate) if preset.trim_sound else None
    return geometry.sound_latent_frames(seconds, rate, hop), samples


def _sampling(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, scheduler: SchedulerFacts
) -> Sampling:
    return Sampling(
        schedule=_schedule(request, preset, defaults, scheduler),
        guidance=_guidance(request, preset, defaults, scheduler),
        seed=request.seed,
        noise=preset.noise,
        stochastic=scheduler.fixed_levels is not None,
    )


def _schedule(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, scheduler: SchedulerFacts
) -> Schedule:
    if scheduler.fixed_levels is not None:
        return schedules.fixed(scheduler.fixed_levels)
    steps = request.num_inference_steps or defaults.num_inference_steps
    kind = request.schedule or _default_kind(request, preset, scheduler)
    shift = request.flow_shift or defaults.flow_shift or scheduler.flow_shift
    if kind is ScheduleKind.FLOW:
        return schedules.flow(steps, shift)
    if kind is ScheduleKind.LINSPACE:
        return schedules.linspace(steps, shift)
    if kind is ScheduleKind.KARRAS:
        return schedules.karras(steps, scheduler.sigma_min, scheduler.sigma_max)
    raise RequestError("schedule", "is fixed; only distilled checkpoints have fixed noise levels")


def _default_kind(request: GenerationRequest, preset: Preset, scheduler: SchedulerFacts) -> ScheduleKind:
    if not preset.checkpoint_schedule or scheduler.native_flow:
        return ScheduleKind.FLOW
    return ScheduleKind.KARRAS if scheduler.karras and request.flow_shift is None else ScheduleKind.LINSPACE


def _guidance(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, scheduler: SchedulerFacts
) -> Guidance:
    if scheduler.fixed_levels is not None:
        return Guidance(1.0)
    scale = defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale
    interval = request.guidance_interval or defaults.guidance_interval
    _check_interval("guidance_interval", interval)
    control_scale, control_interval = _control_guidance(request, preset)
    return Guidance(
        scale,
        interval,
        preset.guidance_interval_inclusive,
        preset.guidance_only_above_one,
        control_scale,
        control_interval,
    )


def _control_guidance(request: GenerationRequest, preset: Preset) -> tuple[float, Interval | None]:
    if request.mode.row.given is not Given.CONTROLS:
        return 1.0, None
    kinds = tuple(control.kind for control in _controls(request))
    own = control_defaults(kinds).control_guidance if preset.control_defaults else 1.0
    interval = request.control_guidance_interval
    _check_interval("control_guidance_interval", interval)
    return own if request.control_guidance is None else request.control_guidance, interval


def _check_interval(field: str, interval: Interval | None) -> None:
    if interval is not None and not 0 <= interval[0] <= interval[1] <= 1000:
        raise RequestError(field, f"is {list(interval)}; expected [low, high] within 0 to 1000")


def _ignored(request: GenerationRequest, scheduler: SchedulerFacts) -> tuple[str, ...]:
    """The fields that a distilled checkpoint has no use for, where they ask for something else than it does."""
    if scheduler.fixed_levels is None:
        return ()
    differs = {
        "num_inference_steps": request.num_inference_steps not in (None, len(scheduler.fixed_levels)),
        "guidance_scale": request.guidance_scale not in (None, 1.0),
        "guidance_interval": request.guidance_interval is not None,
        "negative_prompt": bool(request.negative_prompt),
        "flow_shift": request.flow_shift is not None,
        "schedule": request.schedule not in (None, ScheduleKind.FIXED),
    }
    return tuple(name for name, given in differs.items() if given)


def _clean_frames(request: GenerationRequest, frames: int) -> tuple[int, ...]:
    clean, indexes = request.mode.row.clean, request.condition_frame_indexes_vision
    if clean is Clean.CHOSEN and max(indexes) >= frames:
        reason = f"is {list(indexes)}; the video has latent frames 0 to {frames - 1}"
        raise RequestError("condition_frame_indexes_vision", reason)
    chosen = {Clean.FIRST: (0,), Clean.CHOSEN: indexes, Clean.ALL: tuple(range(frames))}
    return chosen.get(clean, ())


def _layout(
    request: GenerationRequest,
    preset: Preset,
    inputs: MediaInputs,
    clip: ClipFacts,
    action: ActionPlan | None,
    sound_frames: int,
) -> SequenceLayout:
    height, width = clip.canvas.latent
    if action is not None and preset.crop_action_latents and inputs.size is not None:
        content = geometry.fit_inside(clip.canvas, *preset.action_source(*inputs.size))
        height, width = (max(side, 1) for side in content.latent)
    frames = geometry.latent_frames(clip.num_frames)
    given = request.mode.row.given
    weights = [control.weight for control in _controls(request)] if given is Given.CONTROLS else []
    if given is Given.PICTURE:
        weights = [1.0]
    shared = request.share_vision_temporal_positions
    return SequenceLayout(
        frames=frames,
        height=height,
        width=width,
        fps=clip.fps,
        clean_frames=_clean_frames(request, frames),
        sound_frames=sound_frames,
        clean_sound=request.sound is not None,
        action_rows=action.state_rows + action.chunk if action else 0,
        clean_rows=_clean_rows(action),
        action_width=action.width if action else 0,
        domain=action.domain if action else 0,
        first_row_frame=1 - action.state_rows if action else 1,
        given_weights=tuple(weight / sum(weights) for weight in weights),
        shared_times=given is not Given.PICTURE and shared is not False,
    )


def _clean_rows(action: ActionPlan | None) -> tuple[int, ...]:
    if action is None:
        return ()
    return tuple(range(action.chunk if action.rows is not None else action.state_rows))
