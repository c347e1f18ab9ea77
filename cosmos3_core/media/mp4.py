"""MP4 files from frames and sound: H.264 and AAC, the same bytes for the same input, whole or not at all."""

from __future__ import annotations

import heapq
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from av.frame import Frame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from cosmos3_core.media.checks import MediaError, check_frame, check_range
from cosmos3_core.media.clips import SCALING

# FFmpeg numbers these as ISO/IEC 23091-2 does: matrix, primaries and transfer 1 are BT.709. Range 1 is the limited one.
_BT709: dict[str, Any] = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
_AAC_FRAME = 1024


def encode_mp4(
    target: str | os.PathLike[str] | BinaryIO,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    sound: NDArray[np.float32] | None = None,
    *,
    sampling_rate: int = 48_000,
    crf: int = 18,
    x264_preset: str = "veryfast",
) -> None:
    """Encode an MP4 file: H.264 (yuv420p, BT.709, limited range), AAC stereo at 256 kbit/s, fast start.

    Frames are taken one at a time, so memory does not grow with their number. The same input gives the same
    bytes. Nothing appears at `target` before the file is complete.

    Args:
        target: a path, replaced if it exists, or a binary file object, written to at its position.
        frames: RGB uint8 [H, W, 3] each, all of one even height and width.
        fps: frames per second; kept as the nearest fraction with a denominator up to 1001.
        sound: float32 [2, N] or [1, N] (duplicated) in [-1, 1], clipped there; None for a silent file.
        sampling_rate: rate of the sound, in Hz; AAC takes the usual rates from 7350 to 96000.
        crf, x264_preset: x264's quality, 0 (lossless) to 51, and its speed, "ultrafast" to "placebo".

    Raises:
        MediaError: no frames, odd or changing sizes, wrong shape or dtype, or a setting out of range.
        OSError: the target cannot be written.
    """
    check_range("crf", crf, 0, 51)
    check_range("sampling_rate", sampling_rate, 7350, 96_000)
    chunks: Iterator[av.AudioFrame] = iter(()) if sound is None else _chunks(_stereo(sound), sampling_rate)
    rate = _fraction(fps)
    pictures = _pictures(frames, rate)
    opening = next(pictures)
    # Ordered by time, so that the muxer never has to buffer one stream for long.
    ordered = heapq.merge(chain([opening], pictures), chunks, key=attrgetter("time"))
    # x264 makes different files for different thread counts, so the machine's core count must not matter.
    # Its macroblock tree reads memory it never wrote (seen with AVX-512), so that the same frames give other bytes.
    options = {"crf": str(crf), "preset": x264_preset, "threads": "4", "x264-params": "mbtree=0"}
    settings = {"rate": rate, "options": options, "width": opening.width, "height": opening.height}
    with delivered(target) as path:
        _write(path, ordered, settings, None if sound is None else sampling_rate)


def _fraction(fps: float) -> Fraction:
    if math.isfinite(fps) and fps > 0 and (rate := Fraction(fps).limit_denominator(1001)) > 0:
        return rate
    raise MediaError(f"fps is {fps}; use a positive number such as 24 or 29.97")


def _pictures(frames: Iterable[NDArray[np.uint8]], rate: Fraction) -> Iterator[av.VideoFrame]:
    reformatter, shape = VideoReformatter(), None
    for index, pixels in enumerate(frames):
        check_frame(pixels, f"frame {index}")
        for name, length in zip(("height", "width"), pixels.shape, strict=False):
            if length % 2:
                raise MediaError(f"{name} is {length}; yuv420p video needs an even {name}")
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise MediaError(f"frame {index} is {pixels.shape} after {shape}; use one size for all frames")
        picture = reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=SCALING,
            threads=1,
        )
        picture.pts, picture.time_base = index, 1 / rate
        yield picture
    if shape is None:
        raise MediaError("there are no frames to encode; give at least one")


def _chunks(sound: NDArray[np.float32], sampling_rate: int) -> Iterator[av.AudioFrame]:
    for start in range(0, sound.shape[1], _AAC_FRAME):
        samples = np.ascontiguousarray(sound[:, start : start + _AAC_FRAME])
        chunk = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        chunk.sample_rate, chunk.pts, chunk.time_base = sampling_rate, start, Fraction(1, sampling_rate)
        yield chunk


def _stereo(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    proper = sound.dtype.kind == "f" and sound.ndim == 2 and len(sound) in (1, 2) and sound.size
    if not proper or not np.isfinite(sound).all():
        raise MediaError(f"sound is {sound.dtype} {sound.shape}; use finite float32 (2, N) or (1, N), N >= 1")
    return np.broadcast_to(np.clip(sound, -1.0, 1.0).astype(np.float32, copy=False), (2, sound.shape[1]))


@contextmanager
def delivered(target: str | os.PathLike[str] | BinaryIO) -> Iterator[Path]:
    """A path to write an MP4 file to; it becomes the target when the block ends without an error."""
    # FFmpeg writes to a named file even for a file object, as fast start reads the written file again.
    # The folder is absolute, because FFmpeg takes the text before a colon for a protocol.
    beside = Path(target).absolute().parent if isinstance(target, (str, os.PathLike)) else None
    with tempfile.TemporaryDirectory(prefix=".", dir=beside) as folder:
        path = Path(folder) / "clip.mp4"
        try:
            yield path
        except FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise MediaError(f"FFmpeg refuses: {error}; use settings like 'veryfast', 48000 Hz") from error
        if isinstance(target, (str, os.PathLike)):
            path.replace(target)
        else:
            with path.open("rb") as finished:
                shutil.copyfileobj(finished, target)


def _write(path: Path, frames: Iterable[Frame], settings: dict[str, Any], sound_rate: int | None) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        video = container.add_stream("libx264", time_base=1 / settings["rate"], **settings, **_BT709)
        encoders: dict[type[Frame], Any] = {av.VideoFrame: video}
        if sound_rate is not None:
            options = {"flags": "+bitexact"}
            encoders[av.AudioFrame] = container.add_stream("aac", sound_rate, options, bit_rate=256_000)
        for frame in frames:
            container.mux(encoders[type(frame)].encode(frame))
        for encoder in encoders.values():
            container.mux(encoder.encode(None))
