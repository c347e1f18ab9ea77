"""From a request, a checkpoint's facts and its media to concrete numbers: nothing is left to a default afterwards.

This is the only place where presets, family and request meet. It loads nothing and draws nothing, so an ingress can
refuse a bad request before any stage sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosmos3_core import geometry
from cosmos3_core.adapters.use import used_adapters
from cosmos3_core.catalog import OwnActions
from cosmos3_core.controls import control_defaults
from cosmos3_core.embodiments import EMBODIMENTS
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.modes import Actions, Clean, Given, Mode
from cosmos3_core.presets import ModeDefaults, Preset, find_preset
from cosmos3_core.prompt import ClipFacts
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.action import action_plan
from cosmos3_core.resolving.facts import ModelFacts, SoundFacts
from cosmos3_core.resolving.length import frame_rate, length_of
from cosmos3_core.resolving.resolved import ActionPlan, ResolvedRequest, opening_frames
from cosmos3_core.resolving.sampler import ignored_fields, sampling_of
from cosmos3_core.resolving.texts import system_prompt_of, texts_of
from cosmos3_core.sampling.schedule import ScheduleKind

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


def resolve(request: GenerationRequest, model: ModelFacts, inputs: MediaInputs) -> ResolvedRequest:
    """Decide every number of a request.

    Raises:
        RequestError: something contradicts itself, the mode or the checkpoint; it names the field.
    """
    preset = find_preset(request.preset)
    defaults = _defaults(request, preset, model)
    inability = inability_of(model, request)
    if inability is not None:
        raise inability
    _check_mode(request)
    request = _with_own_robot(request, defaults.actions)
    action = action_plan(request, model, inputs)
    fps = frame_rate(request, defaults, inputs)
    num_frames, parts, part_frames = length_of(request, defaults, action, fps, inputs)
    canvas = _canvas(request, preset, defaults, inputs)
    clip = ClipFacts(canvas, part_frames, fps)
    positive, negative = texts_of(request, preset, clip)
    sound_frames, sound_samples = _sound(request, model.sound, preset, clip)
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
        system_prompt=system_prompt_of(request, preset, defaults, model),
        max_prompt_tokens=request.max_sequence_length or preset.max_prompt_tokens,
        sampling=sampling_of(request, preset, defaults, model.scheduler),
        controls=request.used_controls(),
        adapters=used_adapters(request.adapters, model.adapters, model.default_adapters),
        action=action,
        sound_samples=sound_samples,
        parts=parts,
        ignored=ignored_fields(request, model.scheduler),
    )


def _defaults(request: GenerationRequest, preset: Preset, model: ModelFacts) -> ModeDefaults:
    """The numbers of the mode: the checkpoint's, else the preset's; and of the controls where they have their own."""
    own = (model.numbers or {}).get(request.mode.row.output)
    defaults = preset.defaults(request.mode, model.family).with_own(own)
    if request.mode.row.given is not Given.CONTROLS or not preset.control_defaults:
        return defaults
    found = control_defaults(tuple(control.kind for control in request.used_controls()))
    return replace(defaults, guidance_scale=found.guidance_scale, fps=found.fps or defaults.fps)


def _with_own_robot(request: GenerationRequest, own: OwnActions | None) -> GenerationRequest:
    """A request that names no other robot as if it had named the one that the checkpoint was trained for."""
    if own is None:
        return request
    added: dict[str, Any] = {}
    if request.domain_id in (None, EMBODIMENTS[own.domain_name].domain) and (
        request.domain_name is None or request.domain_name.lower() == own.domain_name
    ):
        added |= {"domain_name": own.domain_name, "raw_action_dim": request.raw_action_dim or own.raw_action_dim}
    if request.action_chunk_size is None and request.num_frames is None:
        added["action_chunk_size"] = own.action_chunk_size
    if "view_point" not in request.model_fields_set:
        added["view_point"] = own.view_point
    return request.model_copy(update=added)


def inability_of(model: ModelFacts, request: GenerationRequest) -> RequestError | None:
    """Why a checkpoint cannot do what a request asks for, where another one could; None if it can."""
    mode = request.mode
    if mode not in model.modes:
        return RequestError("mode", f"is {mode.value}; this checkpoint does {', '.join(m.value for m in model.modes)}")
    if mode.is_action and not model.config.action_gen:
        return RequestError("mode", f"is {mode.value}; this checkpoint has no action weights")
    field = _sound_field(request)
    if field is not None and mode.row.sound and (model.sound is None or not model.config.sound_gen):
        return RequestError(field, "is given; this checkpoint has no sound weights")
    return None


def _check_mode(request: GenerationRequest) -> None:
    mode = request.mode
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
        return geometry.action_canvas(request.resolution or defaults.tier, *floored)
    if request.mode.row.given is Given.PICTURE and source is not None and request.resolution is None:
        return geometry.edit_canvas(*source)
    tier = request.resolution
    if request.mode.row.given is Given.CONTROLS and tier is None:
        tier = defaults.tier
    if tier is not None:
        shape = Canvas(*source) if source else defaults.canvas
        ratio = request.aspect_ratio or geometry.nearest_aspect_ratio(shape)
        return geometry.tier_canvas(tier, ratio)
    if source is not None and preset.size_of_input:
        return geometry.canvas_of_area(defaults.canvas.width * defaults.canvas.height, *source)
    return defaults.canvas


def _sound_field(request: GenerationRequest) -> str | None:
    """The field that asks for sound; None if none does."""
    if request.sound is not None:
        return "sound"
    return "generate_sound" if request.generate_sound else None


def _sound(
    request: GenerationRequest, facts: SoundFacts | None, preset: Preset, clip: ClipFacts
) -> tuple[int, int | None]:
    """Latent sound frames, and how many samples to keep of what they decode to."""
    field = _sound_field(request)
    if field is None:
        if request.sound_duration is not None:
            raise RequestError("sound_duration", "is given without generate_sound")
        return 0, None
    if not request.mode.row.sound:
        raise RequestError(field, f"cannot be combined with {request.mode.value}; expected a video mode")
    assert facts is not None, "a checkpoint without sound cannot do this"
    seconds = clip.duration if request.sound_duration is None else request.sound_duration
    if seconds > MAX_SOUND_SECONDS:
        field = "num_frames" if request.sound_duration is None else "sound_duration"
        raise RequestError(field, f"means {seconds:g} s of sound; expected at most {MAX_SOUND_SECONDS:g} s")
    rate, hop = facts.sampling_rate, facts.hop
    samples = round(seconds * rate) if preset.trim_sound else None
    return geometry.sound_latent_frames(seconds, rate, hop), samples


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
    weights = [control.weight for control in request.used_controls()] if given is Given.CONTROLS else []
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
