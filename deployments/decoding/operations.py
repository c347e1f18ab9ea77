"""What a confined process does with files, and how its caller reads the results, of which it believes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.controls import ControlKind
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.media.frame_sampling import FrameSampling
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.visual import read_frames, read_still, read_video
from cosmos3_core.request import GenerationRequest
from cosmos3_core.upsampling.picture import picture_for_chat
from deployments.decoding.packing import Malformed, Packed
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
    return Packed(_described(read_inputs(request)))


def _inputs(request: GenerationRequest) -> Packed:
    inputs = read_inputs(request)
    arrays = (inputs.frames, *inputs.controls.values(), inputs.sound)
    return Packed(_described(inputs), [array for array in arrays if array is not None])


def _described(inputs: MediaInputs) -> dict[str, Any]:
    """The frame rate, and the shapes of all arrays in the order in which they are sent."""
    return {
        "fps": inputs.fps,
        "frames": None if inputs.frames is None else inputs.frames.shape,
        "controls": {kind.value: frames.shape for kind, frames in inputs.controls.items()},
        "sound": None if inputs.sound is None else inputs.sound.shape,
    }


def unpacked_inputs(found: Packed) -> MediaInputs:
    """The inputs in a result; where only shapes were sent, arrays of them that take no memory.

    Raises:
        Exception: of any kind, where it is no such result.
    """
    sent = iter(found.arrays)

    def array(shape: list[int], dtype: type, dimensions: int) -> NDArray[Any]:
        only_shapes: NDArray[Any] = np.broadcast_to(np.zeros((), dtype), shape)
        values = next(sent) if found.arrays else only_shapes
        if (values.dtype, values.shape, values.ndim) != (only_shapes.dtype, only_shapes.shape, dimensions):
            raise Malformed("an array differs from its description")
        return values

    facts = found.facts
    frames = None if facts["frames"] is None else array(facts["frames"], np.uint8, 4)
    controls = {ControlKind(kind): array(shape, np.uint8, 4) for kind, shape in facts["controls"].items()}
    sound = None if facts["sound"] is None else array(facts["sound"], np.float32, 2)
    return MediaInputs(frames, None if facts["fps"] is None else float(facts["fps"]), controls, sound)


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


def unpacked_frames(found: Packed) -> SampledFrames:
    """The frames in a result.

    Raises:
        Exception: of any kind, where it is no such result.
    """
    frames, indices = found.array("uint8", 4), [int(index) for index in found.facts["indices"]]
    if len(indices) != len(frames):
        raise Malformed("frames and indices differ in number")
    return SampledFrames(frames, indices, float(found.facts["fps"]), int(found.facts["total"]))


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
