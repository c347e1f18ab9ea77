"""Reads a request's media once, and no more of it than the mode needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import VideoClip, decode_video
from cosmos3_core.media.stills import decode_image, pixels_of
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE
from cosmos3_core.modes import Clean, SourceKind
from cosmos3_core.request import MEDIA_FIELDS, GenerationRequest

Frames = NDArray[np.uint8]
_TAKES: dict[SourceKind, tuple[str, ...]] = {
    SourceKind.NONE: (),
    SourceKind.IMAGE: ("image",),
    SourceKind.VIDEO: ("video",),
    SourceKind.FRAME: ("image", "video"),
}


@dataclass(frozen=True)
class MediaInputs:
    """Conditioning frames, uint8 `[frames, height, width, 3]`; None where the mode has none."""

    frames: Frames | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels."""
        return None if self.frames is None else (self.frames.shape[2], self.frames.shape[1])


def read_inputs(request: GenerationRequest) -> MediaInputs:
    """Check which media the request carries and decode them.

    Raises:
        RequestError: an input is missing, forbidden in this mode, or cannot be read.
    """
    _check_presence(request)
    if request.image is not None:
        return MediaInputs(_image(request.image)[None])
    if request.video is None:
        return MediaInputs()
    needed = _needed_frames(request)
    if request.mode.row.clean is Clean.CHOSEN and request.condition_video_keep == "last":
        return MediaInputs(_video(request.video, last=needed))
    return MediaInputs(_video(request.video, first=needed))


def _needed_frames(request: GenerationRequest) -> int:
    """Frames of a video that its clean latent frames are made of."""
    match request.mode.row.clean:
        case Clean.CHOSEN:
            return max(request.condition_frame_indexes_vision) * VAE_TEMPORAL_STRIDE + 1
        case Clean.ALL:
            return request.action_chunk() + 1
        case _:
            return 1


def _check_presence(request: GenerationRequest) -> None:
    mode, given = request.mode, [name for name in MEDIA_FIELDS if getattr(request, name) is not None]
    if len(given) > 1:
        raise RequestError(given[1], f"cannot be combined with {given[0]}; give one of them")
    takes = _TAKES[mode.row.source]
    if not takes and given:
        raise RequestError(given[0], f"is not used by {mode.value}; expected none, or another mode")
    if takes and not set(takes) & set(given):
        raise RequestError(takes[0], f"is missing; {mode.value} {mode.row.purpose}")


def _image(source: Any) -> Frames:
    if isinstance(source, Image.Image):
        return _picture(source, "image")
    if isinstance(source, np.ndarray):
        return _checked(source, "image", 3)
    try:
        return decode_image(_readable(source, "image"))
    except MediaError as error:
        raise RequestError("image", f"cannot be read: {error}") from error


def _video(source: Any, *, first: int | None = None, last: int | None = None) -> Frames:
    if isinstance(source, VideoClip):
        source = source.frames
    if isinstance(source, (list, tuple)) and source and all(isinstance(frame, Image.Image) for frame in source):
        pictures = [_picture(frame, "video") for frame in source]
        if len({picture.shape for picture in pictures}) > 1:
            raise RequestError("video", "has frames of different sizes; expected one size")
        source = np.stack(pictures)
    if isinstance(source, np.ndarray):
        frames = _checked(source, "video", 4)
        return frames[:first] if last is None else frames[-last:]
    try:
        return decode_video(_readable(source, "video"), first=first, last=last).frames
    except MediaError as error:
        raise RequestError("video", f"cannot be read: {error}") from error


def _picture(image: Image.Image, field: str) -> Frames:
    try:
        return pixels_of(image)
    except (OSError, MediaError) as error:
        raise RequestError(field, f"cannot be read: {error}") from error


def _readable(source: Any, field: str) -> str | bytes | os.PathLike[str]:
    if isinstance(source, (str, bytes, os.PathLike)):
        return source
    raise RequestError(field, f"is a {type(source).__name__}; expected a path, encoded bytes, or a uint8 array")


def _checked(array: NDArray[Any], field: str, rank: int) -> Frames:
    if array.dtype != np.uint8 or array.ndim != rank or array.shape[-1] != 3 or array.size == 0:
        shape = "[height, width, 3]" if rank == 3 else "[frames, height, width, 3]"
        raise RequestError(field, f"is {array.dtype} {list(array.shape)}; expected uint8 {shape}")
    return array
