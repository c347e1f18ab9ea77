"""The sampler's numbers, and which of those that were asked for a distilled checkpoint ignores (spec 5)."""

from __future__ import annotations

from cosmos3_core.controls import control_defaults
from cosmos3_core.errors import RequestError
from cosmos3_core.modes import Given
from cosmos3_core.presets import ModeDefaults, Preset
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.facts import SchedulerFacts
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.guidance import Guidance, Interval
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import Schedule, ScheduleKind


def sampling_of(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, scheduler: SchedulerFacts
) -> Sampling:
    """All numbers of the sampler.

    Raises:
        RequestError: the schedule or an interval is not one that there is.
    """
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
    shift = request.flow_shift or defaults.flow_shift
    kind = request.schedule or _default_kind(preset, scheduler, shift)
    shift = shift or scheduler.flow_shift
    if kind is ScheduleKind.FLOW:
        return schedules.flow(steps, shift)
    if kind is ScheduleKind.LINSPACE:
        return schedules.linspace(steps, shift)
    if kind is ScheduleKind.KARRAS:
        return schedules.karras(steps, scheduler.sigma_min, scheduler.sigma_max)
    raise RequestError("schedule", "is fixed; only distilled checkpoints have fixed noise levels")


def _default_kind(preset: Preset, scheduler: SchedulerFacts, shift: float | None) -> ScheduleKind:
    if not preset.checkpoint_schedule or scheduler.native_flow:
        return ScheduleKind.FLOW
    return ScheduleKind.KARRAS if scheduler.karras and shift is None else ScheduleKind.LINSPACE


def _guidance(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, scheduler: SchedulerFacts
) -> Guidance:
    if scheduler.fixed_levels is not None:
        return Guidance(1.0)
    scale = defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale
    interval = request.guidance_interval or defaults.guidance_interval
    _check_interval("guidance_interval", request.guidance_interval)
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
    kinds = tuple(control.kind for control in request.used_controls())
    own = control_defaults(kinds).control_guidance if preset.control_defaults else 1.0
    interval = request.control_guidance_interval
    _check_interval("control_guidance_interval", interval)
    return own if request.control_guidance is None else request.control_guidance, interval


def _check_interval(field: str, interval: Interval | None) -> None:
    if interval is not None and not 0 <= interval[0] <= interval[1] <= 1000:
        raise RequestError(field, f"is {list(interval)}; expected [low, high] within 0 to 1000")


def ignored_fields(request: GenerationRequest, scheduler: SchedulerFacts) -> tuple[str, ...]:
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
