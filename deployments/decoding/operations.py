"""What a confined process does with files: each operation as it runs there, and as its result is read by the caller.

The caller's side is `deployments.decoding.decoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.media.frame_sampling import FrameSampling
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.visual import read_frames, read_still, read_video
from cosmos3_core.request import GenerationRequest
from cosmos3_core.upsampling.picture import picture_for_chat
from deployments.decoding.packing import Packed
from deployments.wire.visual_input import VisualInput, VisualKind


class Operation(StrEnum):
    """What can be asked for."""

    CHECK = "check"
    INPUTS = "inputs"
    CHECK_VISUAL = "check_visual"
    VISUAL = "visual"
    SOUND = "sound"
    PICTURE = "picture"


def _check(request: GenerationRequest) -> Packed:
    return Packed({"shapes": _described(read_inputs(request))})


def _inputs(request: GenerationRequest) -> Packed:
    inputs = read_inputs(request)
    return Packed({"shapes": _described(inputs)}, _arrays(inputs))


def _described(inputs: MediaInputs) -> dict[str, Any]:
    """Which arrays there are, in the order of `_arrays`, with their shapes; and the frame rate."""
    return {
        "frames": None if inputs.frames is None else list(inputs.frames.shape),
        "fps": inputs.fps,
        "controls": {kind.value: list(frames.shape) for kind, frames in inputs.controls.items()},
        "sound": None if inputs.sound is None else list(inputs.sound.shape),
    }


def _arrays(inputs: MediaInputs) -> list[Any]:
    return [array for array in (inputs.frames, *inputs.controls.values(), inputs.sound) if array is not None]


def _check_visual(visual: VisualInput) -> Packed:
    """Decode a still, or one frame of a video; whoever reads the others says what is wrong with them."""
    if visual.kind is VisualKind.VIDEO:
        read_video(visual.files[0], FrameSampling(num_frames=1))
    else:
        read_still(visual.files[0])
    return Packed()


def _visual(visual: VisualInput) -> Packed:
    if visual.kind is VisualKind.IMAGE:
        still = read_still(visual.files[0])[None]
        clip = SampledFrames(still, [0], visual.reading.chosen_fps, 1)
    elif visual.kind is VisualKind.FRAMES:
        clip = read_frames(visual.files, visual.reading.chosen_fps)
    else:
        clip = read_video(visual.files[0], visual.reading.sampling)
    return Packed({"indices": clip.indices, "fps": clip.fps, "total": clip.total}, [clip.frames])


def _sound(file: bytes, sampling_rate: int) -> Packed:
    return Packed(arrays=[decode_audio(file, sampling_rate)])


def _picture(file: bytes, canvas: Canvas) -> Packed:
    return Packed(arrays=[picture_for_chat(file, canvas)])


WORK: Mapping[Operation, Callable[..., Packed]] = {
    Operation.CHECK: _check,
    Operation.INPUTS: _inputs,
    Operation.CHECK_VISUAL: _check_visual,
    Operation.VISUAL: _visual,
    Operation.SOUND: _sound,
    Operation.PICTURE: _picture,
}
