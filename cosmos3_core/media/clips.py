"""Video from files to RGB frames (uint8, height before width), with PyAV; `mp4` writes videos.

Frames come as stored: no HDR tone mapping, no deinterlacing, and no correction of non-square pixels.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.reformatter import Interpolation as Scaler
from av.video.stream import VideoStream
from numpy.typing import NDArray

from cosmos3_core.media.allowance import announce
from cosmos3_core.media.checks import MAX_CLIP_BYTES, MAX_PIXELS, MediaError, check_range, check_size
from cosmos3_core.media.source import Source, demuxed

# swscale's default puts flat colours up to 2 levels off and repeats chroma samples instead of filtering.
SCALING = Scaler.BILINEAR | Scaler.FULL_CHR_H_INP | Scaler.FULL_CHR_H_INT | Scaler.ACCURATE_RND | Scaler.BITEXACT
# The matrices 0, 2 and 3 of ISO/IEC 23091-2 (RGB, unspecified, reserved) say nothing about YUV.
_NO_MATRIX = (0, 2, 3)
# Of these each packet shows one frame, in order, and the containers keep its time, so that a lost frame is noticed.
_ONE_FRAME_A_PACKET = ("vp9", "libvpx-vp9", "libdav1d", "av1", "libaom-av1")
_WITH_TIMES = ("mov", "matroska")


@dataclass(frozen=True)
class VideoClip:
    """RGB frames, uint8 [T, H, W, 3] with T >= 1, upright, in display order; their average rate in Hz."""

    frames: NDArray[np.uint8]
    fps: float


@dataclass(frozen=True)
class SampledFrames:
    """Some frames of a video.

    Attributes:
        frames: RGB, uint8 [T, H, W, 3] with T >= 1, upright, in display order.
        indices: their numbers in the video, from 0.
        fps: of the video, in Hz.
        total: how many frames the video says it has.
    """

    frames: NDArray[np.uint8]
    indices: list[int]
    fps: float
    total: int


def decode_video(source: Source, *, first: int | None = None, last: int | None = None) -> VideoClip:
    """Decode a video's frames, all of them or those at one end.

    The display matrix (rotation, mirroring) is applied. Colours follow the stream's matrix and range; with no
    tags, HD is taken as BT.709 and SD as BT.601, limited range. Memory is bounded by the frames returned.

    Args:
        source: an MP4, MOV, WebM, Matroska, AVI, MPEG or animated GIF file.
        first, last: keep at most this many frames from the start, or from the end; not both.

    Raises:
        MediaError: unreadable, corrupt, no frames, a frame above `MAX_PIXELS`, or changing frame sizes.
    """
    if first is not None and last is not None:
        raise MediaError("both first and last are given; give one of them or neither")
    for name, count in (("first", first), ("last", last)):
        check_range(name, 1 if count is None else count, 1, sys.maxsize)
    with demuxed("video", source) as container:
        stream = _video_stream(container)
        rate = _rate(stream)
        decoded = _decoded(container, stream)
        # The deque holds the decoder's own frames, so that those which fall out of it are never converted.
        chosen = islice(decoded, first) if last is None else deque(decoded, last)
        return VideoClip(stacked(_upright(chosen)), float(rate))


def decode_frames(source: Source, choose: Callable[[int, float], Sequence[int]]) -> SampledFrames:
    """Decode chosen frames of a video, with the colours that OpenCV gives them, as vLLM does.

    The display matrix (rotation, mirroring) is applied. Memory is bounded by the frames returned.

    Args:
        source: as in `decode_video`.
        choose: from the number of frames and the frame rate in Hz to ascending frame numbers.

    Raises:
        MediaError: as in `decode_video`; or none of the chosen frames can be read.
    """
    with demuxed("video", source) as container:
        stream = _video_stream(container)
        rate = stream.guessed_rate or stream.average_rate or stream.base_rate
        if not rate:
            raise MediaError("the frame rate is not known")
        total = stream.frames or _frames_by_duration(container, stream, float(rate))
        numbers = set(choose(total, float(rate)))
        found: list[int] = []
        frames = _chosen(_decoded(container, stream), numbers, found)
        return SampledFrames(stacked(_upright(frames, opencv=True)), found, float(rate), total)


def _frames_by_duration(container: InputContainer, stream: VideoStream, fps: float) -> int:
    """An estimate where the file does not say how many frames it has."""
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    else:
        raise MediaError("the number of frames is not known")
    return max(1, math.floor(seconds * fps + 0.5))


def _chosen(frames: Iterable[av.VideoFrame], wanted: set[int], found: list[int]) -> Iterator[av.VideoFrame]:
    """The wanted frames; their numbers are added to `found`. Nothing behind the last one is decoded."""
    last = max(wanted)
    for number, frame in enumerate(frames):
        if number in wanted:
            found.append(number)
            yield frame
        if number >= last:
            return


def _video_stream(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            check_size(stream.width, stream.height)
            # The size in the header may lie; this makes the decoder itself refuse a larger frame.
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            stream.thread_type = "AUTO"
            return stream
    raise MediaError("there is no video track")


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of a track in display order.

    Raises:
        MediaError: a frame is lost: FFmpeg's decoders of VP9 and AV1 pass over what they cannot read.
    """
    complete = stream.codec_context.name in _ONE_FRAME_A_PACKET and container.format.name.startswith(_WITH_TIMES)
    expected: deque[int] = deque()
    for packet in container.demux(stream):
        if complete and packet.pts is not None and not packet.is_discard:
            if expected and packet.pts < expected[-1]:
                # Recordings that were joined: their times begin anew.
                expected.clear()
            expected.append(packet.pts)
        for frame in packet.decode():
            announce(frame.width * frame.height)
            while expected and frame.pts is not None and expected[0] <= frame.pts:
                if expected.popleft() != frame.pts:
                    raise MediaError("a frame is damaged")
            yield frame
    if expected:
        raise MediaError("a frame is damaged")


def _upright(frames: Iterable[av.VideoFrame], *, opencv: bool = False) -> Iterator[NDArray[np.uint8]]:
    reformatter, turn = VideoReformatter(), None
    for frame in frames:
        # Read once per clip: PyAV leaves a frame whose side data were read to the cycle collector.
        swapped, rows, columns = turn = turn or _orientation(frame)
        # swscale takes BT.601 for untagged frames of every size; common players do not.
        guess = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
        matrix = guess if frame.colorspace in _NO_MATRIX else None
        scaling = SCALING
        if opencv:
            # The stream's own matrix, or swscale's default.
            matrix, scaling = None, Scaler.BICUBIC
        picture = reformatter.reformat(frame, format="rgb24", src_colorspace=matrix, interpolation=scaling)
        pixels = np.asarray(picture.to_ndarray(), np.uint8)
        yield (pixels.swapaxes(0, 1) if swapped else pixels)[::rows, ::columns]


def stacked(pictures: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size as one array, within `MAX_CLIP_BYTES`.

    Raises:
        MediaError: there are none, they differ in size, or they take more memory.
    """
    opening = next(pictures, None)
    if opening is None:
        raise MediaError("the video track has no frames")
    frames, count = opening[None].copy(), 1
    for count, pixels in enumerate(pictures, 2):
        if pixels.shape != opening.shape:
            raise MediaError(f"frame {count - 1} is {pixels.shape} after {opening.shape}; use one size")
        if count * opening.nbytes > MAX_CLIP_BYTES:
            raise MediaError(
                f"{count} frames of {opening.shape[1]}x{opening.shape[0]} are more than {MAX_CLIP_BYTES} bytes; "
                "use fewer or smaller frames"
            )
        if count > len(frames):
            # Grown in place by small steps, because a list and np.stack would hold the whole clip twice.
            frames.resize((count + 15, *opening.shape), refcheck=False)
        frames[count - 1] = pixels
    frames.resize((count, *opening.shape), refcheck=False)
    return frames


def _orientation(frame: av.VideoFrame) -> tuple[bool, int, int]:
    """Whether rows and columns change places, then the step (1 or -1) to read rows and columns with."""
    turn = math.radians(frame.rotation)
    a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    # The display matrix describes mirroring too; the angle alone does not. PyAV raises ValueError for a frame with side
    # data of a kind that it does not know, such as EXIF in motion JPEG, and then only the angle is used.
    with suppress(KeyError, ValueError):
        side_data: Any = frame.side_data
        a, b, _, c, d = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)[:5].tolist()
    swapped = abs(b) > abs(a)
    down, right = (b, c) if swapped else (d, a)
    return swapped, -1 if down < 0 else 1, -1 if right < 0 else 1


def frames_at(source: Source, times: list[float]) -> VideoClip:
    """The frames that a video shows at some times. Memory is bounded by the frames returned.

    Args:
        source: as for `decode_video`.
        times: seconds from the first frame, ascending; a time after the end gives the last frame.

    Returns:
        A frame for each time, and the average rate of the whole video.

    Raises:
        MediaError: as for `decode_video`; no times, or times that do not ascend.
    """
    if not times or times != sorted(times):
        raise MediaError(f"times are {times}; use at least one, in ascending order")
    with demuxed("video", source) as container:
        stream = _video_stream(container)
        rate = _rate(stream)
        return VideoClip(stacked(_upright(_shown_at(_decoded(container, stream), times, rate))), rate)


def video_seconds(source: Source) -> float:
    """The length of a video in seconds, from its packets; nothing is decoded.

    Raises:
        MediaError: unreadable, or no frames.
    """
    with demuxed("video", source) as container:
        stream = _video_stream(container)
        # Of a frame whose packet does not say how long it lasts.
        ticks = 1 / (_rate(stream) * float(stream.time_base or 1))
        shown = [(packet.pts, packet.duration or ticks) for packet in container.demux(stream) if packet.pts is not None]
        if not shown:
            raise MediaError("the video track has no frames")
        last = max(pts + duration for pts, duration in shown)
        return float((last - min(shown)[0]) * (stream.time_base or 1))


def _rate(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.base_rate or stream.guessed_rate
    if not rate:
        raise MediaError("the frame rate is not known")
    return float(rate)


def _shown_at(frames: Iterable[av.VideoFrame], times: list[float], rate: float) -> Iterator[av.VideoFrame]:
    """The frame of each time: the last one that starts at it or before it."""
    wanted, shown, start = deque(times), None, None
    for index, frame in enumerate(frames):
        begins = index / rate if frame.time is None else frame.time
        start = begins if start is None else start
        while shown is not None and wanted and begins - start > wanted[0]:
            wanted.popleft()
            yield shown
        if not wanted:
            return
        shown = frame
    if shown is not None:
        yield from (shown for _ in wanted)
