"""From a request, a checkpoint's facts and its media to concrete numbers: nothing is left to a default afterwards.

This is the only place where presets, family and request meet. It loads nothing and draws nothing, so an ingress can
refuse a bad request before any stage sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosmos3_core import geometry
from cosmos3_core.catalog import ALL_MODES, Family
from cosmos3_core.embodiments import find_embodiment
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.modes import Actions, Clean, Mode
from cosmos3_core.presets import ModeDefaults, Preset, find_preset
from cosmos3_core.prompt import (
    IMAGE_SYSTEM_PROMPT,
    VIDEO_SYSTEM_PROMPT,
    ClipFacts,
    MetadataRules,
    action_caption,
    negative_text,
    positive_text,
)
from cosmos3_core.request import GenerationRequest
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import Schedule, ScheduleKind

if TYPE_CHECKING:
    # It imports what decodes media, which a model's card and a gang's leader never do.
    from cosmos3_core.inputs import MediaInputs

MAX_SOUND_SECONDS = 120.0
ACTION_FIELDS = ("domain_name", "domain_id", "raw_action_dim", "action_chunk_size", "view_point")
CONTINUATION_FIELDS = ("condition_frame_indexes_vision", "condition_video_keep")


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


@dataclass(frozen=True)
class ActionPlan:
    """The action part of a request: `rows` is `[chunk, width]` where actions are given, else None."""

    domain: int
    width: int
    chunk: int
    rows: NDArray[np.float32] | None


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with every number decided.

    Attributes:
        mode, preset: as asked.
        canvas: frame the media are prepared for, in pixels.
        num_frames, fps: of the output.
        layout: shape of the generation sequence.
        positive, negative: user messages of the branches.
        system_prompt, max_prompt_tokens: how they become a chat.
        sampling: how its latents are sampled.
        action: the action part, if any.
        sound_samples: samples per channel to keep; None keeps what the decoder gives.
    """

    mode: Mode
    preset: Preset
    canvas: Canvas
    num_frames: int
    fps: float
    layout: SequenceLayout
    positive: str
    negative: str
    system_prompt: str | None
    max_prompt_tokens: int | None
    sampling: Sampling
    action: ActionPlan | None
    sound_samples: int | None


def resolve(request: GenerationRequest, model: ModelFacts, inputs: MediaInputs) -> ResolvedRequest:
    """Decide every number of a request.

    Raises:
        RequestError: something contradicts itself, the mode or the checkpoint; it names the field.
    """
    preset = find_preset(request.preset)
    defaults = preset.defaults(request.mode, model.family)
    _check_mode(request, model)
    action = _action(request, model)
    fps = request.fps if request.fps is not None else defaults.fps
    num_frames = _num_frames(request, defaults, action, fps)
    canvas = _canvas(request, preset, defaults, inputs)
    clip = ClipFacts(canvas, num_frames, fps)
    positive, negative = _texts(request, preset, clip)
    sound_frames, sound_samples = _sound(request, model, preset, clip)
    return ResolvedRequest(
        mode=request.mode,
        preset=preset,
        canvas=canvas,
        num_frames=num_frames,
        fps=fps,
        layout=_layout(request, preset, inputs, clip, action, sound_frames),
        positive=positive,
        negative=negative,
        system_prompt=_system_prompt(request, preset, model),
        max_prompt_tokens=request.max_sequence_length or preset.max_prompt_tokens,
        sampling=_sampling(request, preset, defaults, model.scheduler),
        action=action,
        sound_samples=sound_samples,
    )


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


def _action(request: GenerationRequest, model: ModelFacts) -> ActionPlan | None:
    if not request.mode.is_action:
        return None
    config = model.config
    embodiment = find_embodiment(request.domain_name, request.domain_id, config.num_embodiment_domains)
    given = request.action
    width = request.raw_action_dim or embodiment.width or (given.shape[1] if given is not None else None)
    if width is None:
        raise RequestError("raw_action_dim", "is missing; the width of this embodiment depends on its dataset")
    if width > config.action_dim:
        raise RequestError("raw_action_dim", f"is {width}; this checkpoint has {config.action_dim} action channels")
    if given is not None and given.shape[1] != width:
        raise RequestError("action", f"rows are {given.shape[1]} wide; expected {width} for this embodiment")
    chunk = request.action_chunk()
    rows = None if given is None else np.pad(given[:chunk], ((0, max(0, chunk - len(given))), (0, 0)), mode="edge")
    return ActionPlan(embodiment.domain, width, chunk, rows)


def _num_frames(request: GenerationRequest, defaults: ModeDefaults, action: ActionPlan | None, fps: float) -> int:
    if request.mode.is_image:
        if request.num_frames not in (None, 1):
            raise RequestError("num_frames", f"is {request.num_frames}; {request.mode.value} makes 1")
        return 1
    if action is not None:
        return geometry.check_video_length(action.chunk + 1, fps)
    return geometry.check_video_length(request.num_frames or defaults.num_frames, fps)


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
    if request.resolution is not None:
        shape = Canvas(*source) if source else defaults.canvas
        ratio = request.aspect_ratio or geometry.nearest_aspect_ratio(shape)
        return geometry.tier_canvas(request.resolution, ratio)
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
    return positive_text(request.prompt, clip, rules, ratio), negative_text(negative, clip, rules, ratio)


def _system_prompt(request: GenerationRequest, preset: Preset, model: ModelFacts) -> str | None:
    by_default = model.default_system_prompt if preset.system_prompt is None else request.mode in preset.system_prompt
    wanted, text = request.use_system_prompt, request.system_prompt
    if wanted is False or text == "" or (wanted is None and text is None and not by_default):
        return None
    return text or (IMAGE_SYSTEM_PROMPT if request.mode.is_image else VIDEO_SYSTEM_PROMPT)


def _sound(request: GenerationRequest, model: ModelFacts, preset: Preset, clip: ClipFacts) -> tuple[int, int | None]:
    """Latent sound frames, and how many samples to keep of what they decode to."""
    if not request.generate_sound:
        if request.sound_duration is not None:
            raise RequestError("sound_duration", "is given without generate_sound")
        return 0, None
    if not request.mode.row.sound:
        raise RequestError("generate_sound", f"cannot be combined with {request.mode.value}; expected a video mode")
    if model.sound is None or not model.config.sound_gen:
        raise RequestError("generate_sound", "is true; this checkpoint has no sound weights")
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
    if interval is not None and not 0 <= interval[0] <= interval[1] <= 1000:
        raise RequestError("guidance_interval", f"is {list(interval)}; expected [low, high] within 0 to 1000")
    return Guidance(scale, interval, preset.guidance_interval_inclusive, preset.guidance_only_above_one)


def _clean_frames(request: GenerationRequest, frames: int) -> tuple[int, ...]:
    clean, indexes = request.mode.row.clean, request.condition_frame_indexes_vision
    if clean is Clean.CHOSEN and max(indexes) >= frames:
        reason = f"is {list(indexes)}; the video has latent frames 0 to {frames - 1}"
        raise RequestError("condition_frame_indexes_vision", reason)
    chosen = {Clean.NONE: (), Clean.FIRST: (0,), Clean.CHOSEN: indexes, Clean.ALL: tuple(range(frames))}
    return chosen[clean]


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
    given_rows = action is not None and action.rows is not None
    return SequenceLayout(
        frames=frames,
        height=height,
        width=width,
        fps=clip.fps,
        clean_frames=_clean_frames(request, frames),
        sound_frames=sound_frames,
        action_rows=action.chunk if action else 0,
        clean_rows=tuple(range(action.chunk)) if action and given_rows else (),
        action_width=action.width if action else 0,
        domain=action.domain if action else 0,
    )
