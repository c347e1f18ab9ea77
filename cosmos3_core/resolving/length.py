"""How long the output is, and the parts that it is made in (spec 6.3, 9.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos3_core import geometry
from cosmos3_core.controls import control_defaults
from cosmos3_core.errors import RequestError
from cosmos3_core.modes import Given
from cosmos3_core.presets import ModeDefaults
from cosmos3_core.request import MAX_LONG_FRAMES, GenerationRequest
from cosmos3_core.resolving.action import chunks_of
from cosmos3_core.resolving.resolved import ActionPlan, Part, cut

if TYPE_CHECKING:
    # It imports what decodes media, which a model's card and a gang's leader never do.
    from cosmos3_core.inputs import MediaInputs


def frame_rate(request: GenerationRequest, defaults: ModeDefaults, inputs: MediaInputs) -> float:
    """Frames per second: as asked, else those of the controls, else the default."""
    if request.fps is not None:
        return request.fps
    if request.mode.row.given is Given.CONTROLS and inputs.fps is not None:
        return inputs.fps
    return defaults.fps


def length_of(
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
        total = chunks_of(request, inputs)[1] * action.chunk + 1
        return total, _parts(total, length, overlap=1), length
    length = geometry.check_video_length(request.num_frames or defaults.num_frames, fps)
    return length, (Part(stop=length),), length


def _transfer_length(request: GenerationRequest, fps: float, inputs: MediaInputs) -> tuple[int, tuple[Part, ...], int]:
    lengths = [len(frames) for frames in inputs.controls.values()]
    if len(lengths) < len(request.used_controls()):
        assert inputs.frames is not None
        lengths.insert(0, len(inputs.frames))
    total = lengths[0]
    if max(lengths) == 1 and request.num_frames is not None:
        total = min(request.num_frames, MAX_LONG_FRAMES)
    asked = request.num_video_frames_per_chunk
    kinds = tuple(control.kind for control in request.used_controls())
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
