"""Reads a request's media once, and no more of it than the mode needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.controls import COMPUTED_KINDS, Control, ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError, TooManyPixels, UnknownFormat
from cosmos3_core.media.clips import VideoClip, decode_video
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import decode_image, pixels_of
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE
from cosmos3_core.modes import Clean, Given, Mode, SourceKind
from cosmos3_core.request import CONTROL_PREFIX, FRAME_FIELDS, MAX_LONG_FRAMES, GenerationRequest

Frames = NDArray[np.uint8]
_TAKES: dict[SourceKind, tuple[str, ...]] = {
    SourceKind.NONE: (),
    SourceKind.IMAGE: ("image",),
    SourceKind.VIDEO: ("video",),
    SourceKind.FRAME: ("image", "video"),
    SourceKind.CONTROLS: ("video",),
}


@dataclass(frozen=True)
class MediaInputs:
    """A request's media as arrays.

    Attributes:
        frames: conditioning frames, uint8 `[frames, height, width, 3]`; None where there are none.
        fps: frame rate of the conditioning video or, without one, of the first control.
        controls: frames of the controls that were given; those that are computed from `frames` are not in it.
        sound: the given soundtrack, fp32 `[2, samples]` at the checkpoint's rate.
    """

    frames: Frames | None = None
    fps: float | None = None
    controls: Mapping[ControlKind, Frames] = field(default_factory=dict)
    sound: NDArray[np.float32] | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, of the conditioning frames or else of the first control."""
        frames = next(iter(self.controls.values()), None) if self.frames is None else self.frames
        return None if frames is None else (frames.shape[2], frames.shape[1])

    def array(self, name: str) -> NDArray[Any]:
        """The array of a medium, by its name as in `GenerationRequest.media`."""
        kind = name.removeprefix(CONTROL_PREFIX)
        found = self.controls[ControlKind(kind)] if kind != name else self.sound if name == "sound" else self.frames
        assert found is not None
        return found


def read_inputs(request: GenerationRequest) -> MediaInputs:
    """Check which media the request carries and decode them.

    Raises:
        RequestError: an input is missing, forbidden in this mode, or cannot be read.
    """
    _check_presence(request)
    sound = None if request.sound is None else _sound(request.sound)
    if request.mode.row.given is Given.CONTROLS:
        return _controlled(request)
    if request.image is not None:
        return MediaInputs(_image(request.image)[None], sound=sound)
    if request.video is None:
        return MediaInputs(sound=sound)
    needed = _needed_frames(request)
    if request.mode.row.clean is Clean.CHOSEN and request.condition_video_keep == "last":
        clip = _video(request.video, last=needed)
    else:
        clip = _video(request.video, first=needed)
    return MediaInputs(clip.frames, clip.fps, sound=sound)


def _needed_frames(request: GenerationRequest) -> int:
    """Frames of a video that its clean latent frames are made of."""
    match request.mode.row.clean:
        case Clean.CHOSEN:
            return max(request.condition_frame_indexes_vision) * VAE_TEMPORAL_STRIDE + 1
        case Clean.ALL:
            chunk, count = request.action_chunks()
            return chunk * count + 1
        case _:
            return 1


def _controlled(request: GenerationRequest) -> MediaInputs:
    """The controls that are given and, where it is needed, the video that the others are computed from."""
    limit = min(request.max_frames or MAX_LONG_FRAMES, request.num_frames or MAX_LONG_FRAMES)
    used = [control for control in request.controls if control.weight > 0]
    given = {control.kind: _control(control, limit) for control in used if control.video is not None}
    computed = [control.kind for control in used if control.video is None]
    opening = request.num_first_chunk_conditional_frames or 0
    if request.video is None:
        for kind in computed:
            raise RequestError(f"{CONTROL_PREFIX}{kind}", _missing(kind))
        if opening:
            raise RequestError("video", f"is missing; num_first_chunk_conditional_frames takes {opening} frames of it")
        video = None
    elif not computed and not opening:
        raise RequestError("video", "is not used: every control is given, and no frames are taken from it")
    else:
        video = _video(request.video, first=limit if computed else opening)
    for kind in computed:
        if kind not in COMPUTED_KINDS:
            raise RequestError(f"{CONTROL_PREFIX}{kind}", _missing(kind))
    rate = next(iter(given.values())).fps if given else (video.fps if video else None)
    frames = {kind: clip.frames for kind, clip in given.items()}
    return MediaInputs(video.frames if video else None, video.fps if video and computed else rate, frames)


def _missing(kind: ControlKind) -> str:
    computable = "; it can also be computed from a video" if kind in COMPUTED_KINDS else ""
    return f"is missing; transfer by {kind} needs the control video{computable}"


def _control(control: Control, limit: int) -> _Clip:
    name = f"{CONTROL_PREFIX}{control.kind}"
    source = control.video
    if not isinstance(source, (str, bytes, os.PathLike)):
        return _video(source, first=limit, name=name)
    try:
        return _Clip(decode_image(source)[None], None)
    except TooManyPixels as error:
        raise RequestError(name, f"cannot be read: {error}") from error
    except MediaError as error:
        no_picture = error
    try:
        return _video(source, first=limit, name=name)
    except RequestError:
        if isinstance(no_picture, UnknownFormat):
            raise
        raise RequestError(name, f"cannot be read: {no_picture}") from no_picture


def _check_presence(request: GenerationRequest) -> None:
    row, given = request.mode.row, [name for name in FRAME_FIELDS if getattr(request, name) is not None]
    if len(given) > 1:
        raise RequestError(given[1], f"cannot be combined with {given[0]}; give one of them")
    takes = _TAKES[row.source]
    unused = [name for name in given if name not in takes] if not takes or row.given is Given.CONTROLS else []
    if unused:
        raise RequestError(unused[0], f"is not used by {request.mode.value}; expected none, or another mode")
    if row.given is Given.CONTROLS:
        if not any(control.weight > 0 for control in request.controls):
            raise RequestError("controls", "are missing or all of weight 0; transfer follows at least one")
    elif takes and not set(takes) & set(given):
        raise RequestError(takes[0], f"is missing; {request.mode.value} {row.purpose}")
    if request.controls and row.given is not Given.CONTROLS:
        raise RequestError("controls", f"are not used by {request.mode.value}; expected mode {Mode.TRANSFER.value}")


@dataclass(frozen=True)
class _Clip:
    """Frames and, where they have one, their rate."""

    frames: Frames
    fps: float | None


def _image(source: Any) -> Frames:
    if isinstance(source, Image.Image):
        return _picture(source, "image")
    if isinstance(source, np.ndarray):
        return _checked(source, "image", 3)
    try:
        return decode_image(_readable(source, "image"))
    except MediaError as error:
        raise RequestError("image", f"cannot be read: {error}") from error


def _video(source: Any, *, first: int | None = None, last: int | None = None, name: str = "video") -> _Clip:
    rate = None
    if isinstance(source, VideoClip):
        source, rate = source.frames, source.fps
    if isinstance(source, (list, tuple)) and source and all(isinstance(frame, Image.Image) for frame in source):
        pictures = [_picture(frame, name) for frame in source]
        if len({picture.shape for picture in pictures}) > 1:
            raise RequestError(name, "has frames of different sizes; expected one size")
        source = np.stack(pictures)
    if isinstance(source, np.ndarray):
        frames = _checked(source, name, 4)
        return _Clip(frames[:first] if last is None else frames[-last:], rate)
    try:
        clip = decode_video(_readable(source, name), first=first, last=last)
    except MediaError as error:
        raise RequestError(name, f"cannot be read: {error}") from error
    return _Clip(clip.frames, clip.fps)


def _sound(source: Any) -> NDArray[np.float32]:
    if isinstance(source, np.ndarray):
        if source.dtype != np.float32 or source.ndim != 2 or source.shape[0] != 2 or not source.size:
            raise RequestError("sound", f"is {source.dtype} {list(source.shape)}; expected float32 [2, samples]")
        if not np.isfinite(source).all():
            raise RequestError("sound", "holds numbers that are not finite")
        return source
    try:
        return decode_audio(_readable(source, "sound"))
    except MediaError as error:
        raise RequestError("sound", f"cannot be read: {error}") from error


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
