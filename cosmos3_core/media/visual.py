"""Media that the Reasoner looks at, from files to pixels: stills on white, and the frames of a video that are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import SampledFrames, decode_frames, stacked
from cosmos3_core.media.frame_sampling import MAX_FRAMES, FrameSampling
from cosmos3_core.media.stills import decode_image

# Beyond this, transformers' image processors raise.
MAX_ASPECT = 200
# Every frame up to the last one that is read must be decoded: an hour at 24 frames per second is below this.
MAX_TOTAL_FRAMES = 100_000


def read_still(file: bytes) -> NDArray[np.uint8]:
    """A still with what is transparent on white, uint8 `[height, width, 3]`.

    Raises:
        MediaError: unreadable, or far longer than wide.
    """
    image = decode_image(file, on_white=True)
    _check_aspect(image)
    return image


def read_video(file: bytes, sampling: FrameSampling) -> SampledFrames:
    """The frames of a video that are read; no others are kept.

    Args:
        file: a video.
        sampling: which frames.

    Raises:
        MediaError: unreadable, far longer than wide, or of more than `MAX_TOTAL_FRAMES`.
    """

    def chosen(total: int, fps: float) -> list[int]:
        if total > MAX_TOTAL_FRAMES:
            raise MediaError(f"the video has {total} frames; use one of at most {MAX_TOTAL_FRAMES}")
        return sampling.indices(total, fps)

    clip = decode_frames(file, chosen)
    _check_aspect(clip.frames[0])
    return clip


def read_frames(files: Sequence[bytes], fps: float) -> SampledFrames:
    """Frames that their sender has chosen, at the rate at which they were chosen.

    Raises:
        MediaError: one is unreadable, they differ in size, or they are more than `MAX_FRAMES`.
    """
    if len(files) > MAX_FRAMES:
        raise MediaError(f"{len(files)} frames are more than {MAX_FRAMES}; send fewer")
    frames = stacked(read_still(file) for file in files)
    return SampledFrames(frames, list(range(len(frames))), fps, len(frames))


def _check_aspect(image: NDArray[np.uint8]) -> None:
    height, width, _ = image.shape
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise MediaError(f"is {width}x{height}; expected a longer side of at most {MAX_ASPECT} times the shorter one")
