"""Stills, video and sound from files to numpy arrays, and stills back.

What this is: the one place that decodes images (Pillow), video and audio (PyAV), and encodes images; `mp4` writes
videos. Pixels are RGB uint8, height before width; sound is float32 in [-1, 1], channels before samples.
Uploads are taken as hostile: sizes are checked before pixels are decoded, only self-contained formats are
accepted, and whatever a decoder makes of bad input reaches the caller as a `MediaError`.

What this is not: it does not resize, crop or batch, knows no torch, and fetches nothing from the network. It
gives pixels as stored: no ICC profiles, HDR tone mapping, deinterlacing or correction of non-square pixels.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any, Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.reformatter import Interpolation as Scaler
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cosmos3_core.errors import CosmosError

Source = str | os.PathLike[str] | bytes
"""A file path (str or PathLike) or a file's whole content (bytes)."""

MAX_PIXELS = 178_956_970
"""Largest image or video frame accepted, in pixels (width times height)."""
DEFAULT_QUALITY = 95
"""Quality of lossy files where the caller names none, from 1 to 100."""

_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# Playlist and concatenation formats (HLS, DASH, ffconcat, image sequences) name other files and hosts,
# so an upload in one of them could read this machine's files. Only self-contained formats are listed.
_CONTAINERS = "mov,matroska,avi,gif,mpegts,mpeg,flv,asf,ogg,wav,w64,mp3,flac,aac,aiff,caf"
_EXPECTED = {
    "image": "a complete " + ", ".join(_IMAGE_FORMATS) + " file",
    "video": "a complete MP4, MOV, WebM, Matroska, AVI, MPEG or GIF file with a video track",
    "audio": "a complete MP4, MOV, WebM, Matroska, WAV, MP3, FLAC, AAC or Ogg file with a sound track",
}
# swscale's default puts flat colours up to 2 levels off and repeats chroma samples instead of filtering.
SCALING = Scaler.BILINEAR | Scaler.FULL_CHR_H_INP | Scaler.FULL_CHR_H_INT | Scaler.ACCURATE_RND | Scaler.BITEXACT
# The matrices 0, 2 and 3 of ISO/IEC 23091-2 (RGB, unspecified, reserved) say nothing about YUV.
_NO_MATRIX = (0, 2, 3)


class MediaError(CosmosError, ValueError):
    """Media that cannot be decoded or encoded; the message says what is wrong and what would be right."""


class TooManyPixels(MediaError):
    """A picture above `MAX_PIXELS`, refused before any of it is decoded."""


@dataclass(frozen=True)
class VideoClip:
    """RGB frames, uint8 [T, H, W, 3] with T >= 1, upright, in display order; their average rate in Hz."""

    frames: NDArray[np.uint8]
    fps: float


def decode_image(source: Source) -> NDArray[np.uint8]:
    """Decode a still, or an animation's first frame: JPEG, PNG, WEBP, BMP, GIF, TIFF to RGB uint8 [H, W, 3].

    EXIF orientation is applied and alpha is dropped, not composited. Grey, palette and CMYK are
    converted; 16-bit samples keep their upper 8 bits.

    Raises:
        MediaError: unreadable, empty, corrupt, of another format, or above `MAX_PIXELS`.
    """
    with _opened("image", source) as stream, Image.open(stream, formats=_IMAGE_FORMATS) as image:
        return pixels_of(image)


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of an opened Pillow image, upright.

    Raises:
        MediaError: above `MAX_PIXELS`.
        OSError: damaged.
    """
    _check_size(image.width, image.height)
    upright = ImageOps.exif_transpose(image)
    if not upright.mode.startswith("I;16"):
        return np.array(upright.convert("RGB"))
    # Pillow's own conversion clips 16-bit grey at 255, which leaves a white picture.
    grey = (np.asarray(upright) >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def encode_image(
    pixels: NDArray[np.uint8], format: Literal["png", "jpeg", "webp"], quality: int = DEFAULT_QUALITY
) -> bytes:
    """Encode a still.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        format: PNG is lossless; JPEG is written without chroma subsampling.
        quality: 1 to 100, for JPEG and WEBP; PNG ignores it.

    Raises:
        MediaError: wrong shape, dtype, format or quality, or more pixels a side than the format allows.
    """
    check_frame(pixels, "pixels")
    check_range("quality", quality, 1, 100)
    longest = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
    if format not in longest:
        raise MediaError(f"format is {format!r}; use 'png', 'jpeg' or 'webp'")
    check_range("the longer side", max(pixels.shape), 1, longest[format])
    content = io.BytesIO()
    # Pillow passes over the settings a format does not have.
    Image.fromarray(pixels).save(content, format, quality=quality, subsampling=0)
    return content.getvalue()


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
    with _demuxed("video", source) as container:
        stream = _video_stream(container)
        rate = stream.average_rate or stream.base_rate or stream.guessed_rate
        if not rate:
            raise MediaError("the frame rate is not known")
        decoded: Iterable[av.VideoFrame] = container.decode(stream)
        # The ring holds the decoder's own frames, so that those which fall out of it are never converted.
        chosen = islice(decoded, first) if last is None else deque(decoded, last)
        return VideoClip(_stacked(_upright(chosen)), float(rate))


def decode_audio(source: Source, sampling_rate: int = 48_000) -> NDArray[np.float32]:
    """Decode the sound of an audio or video file to stereo float32 [2, N] in [-1, 1] at `sampling_rate` Hz.

    Mono is duplicated; more channels are downmixed, scaled so that the downmix cannot clip.

    Raises:
        MediaError: unreadable, corrupt, without sound, or a sampling rate out of range.
    """
    check_range("sampling_rate", sampling_rate, 1, 768_000)
    with _demuxed("audio", source) as container:
        chunks = list(_resampled(container, sampling_rate)) if container.streams.audio else []
        if not chunks:
            raise MediaError("there is no sound track, or an empty one")
        samples = np.clip(np.nan_to_num(np.concatenate(chunks, axis=1), copy=False), -1.0, 1.0)
        return np.repeat(samples, 2, axis=0) if len(samples) == 1 else samples


@contextmanager
def _opened(kind: str, source: Source) -> Iterator[IO[bytes]]:
    name = f"{len(source)} bytes" if isinstance(source, bytes) else f"{os.fspath(source)!r}"
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            yield stream
    except TooManyPixels:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"the {kind} is above the limit of {MAX_PIXELS} pixels") from error
    except Exception as error:
        # Damage shows in too many ways (struct.error, SyntaxError, zlib.error, ...) for a complete list.
        reason = str(error) or type(error).__name__
        raise MediaError(f"cannot decode {kind} from {name}: {reason}; expected {_EXPECTED[kind]}") from error


@contextmanager
def _demuxed(kind: str, source: Source) -> Iterator[InputContainer]:
    # FFmpeg would read "http://host/x" or "concat:a|b" as a protocol, so it never sees the path itself.
    options = {"format_whitelist": _CONTAINERS, "max_pixels": str(MAX_PIXELS)}
    with _opened(kind, source) as content, av.open(content, "r", options=options) as container:
        # FFmpeg takes the end of an MP4 file that was cut short for the end of its tracks.
        places = (entry.pos + entry.size for stream in container.streams for entry in stream.index_entries)
        if container.format.name.startswith("mov") and max(places, default=0) > container.size:
            raise MediaError("the file is cut short")
        yield container


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise TooManyPixels(f"{width}x{height} is above the limit of {MAX_PIXELS} pixels")


def check_frame(pixels: NDArray[np.uint8], name: str) -> None:
    """Refuse what is not RGB uint8 [H, W, 3].

    Raises:
        MediaError: naming it.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise MediaError(f"{name} is {pixels.dtype} {pixels.shape}; use uint8 (height, width, 3)")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a number outside of `low` to `high`, both included.

    Raises:
        MediaError: naming it.
    """
    if not low <= value <= high:
        raise MediaError(f"{name} is {value}; use {low} to {high}")


def _video_stream(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            _check_size(stream.width, stream.height)
            # The size in the header may lie; this makes the decoder itself refuse a larger frame.
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            stream.thread_type = "AUTO"
            return stream
    raise MediaError("there is no video track")


def _upright(frames: Iterable[av.VideoFrame]) -> Iterator[NDArray[np.uint8]]:
    reformatter, turn = VideoReformatter(), None
    for frame in frames:
        # Once a clip: in PyAV a frame whose side data were read is freed by the cycle collector only.
        swapped, rows, columns = turn = turn or _orientation(frame)
        # swscale takes BT.601 for untagged frames of every size; the players that files are made for do not.
        guess = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
        matrix = guess if frame.colorspace in _NO_MATRIX else None
        picture = reformatter.reformat(frame, format="rgb24", src_colorspace=matrix, interpolation=SCALING)
        pixels = np.asarray(picture.to_ndarray(), np.uint8)
        yield (pixels.swapaxes(0, 1) if swapped else pixels)[::rows, ::columns]


def _stacked(pictures: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    opening = next(pictures, None)
    if opening is None:
        raise MediaError("the video track has no frames")
    frames, count = opening[None].copy(), 1
    for count, pixels in enumerate(pictures, 2):
        if pixels.shape != opening.shape:
            raise MediaError(f"frame {count - 1} is {pixels.shape} after {opening.shape}; use one size")
        if count > len(frames):
            # Grown in place and by little, as a list and np.stack would hold the whole clip twice.
            frames.resize((count + 15, *opening.shape), refcheck=False)
        frames[count - 1] = pixels
    frames.resize((count, *opening.shape), refcheck=False)
    return frames


def _orientation(frame: av.VideoFrame) -> tuple[bool, int, int]:
    # Whether rows and columns change places, then the step (1 or -1) to read rows and columns with.
    turn = math.radians(frame.rotation)
    a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    # The angle does not tell of mirroring, but is all there is when PyAV cannot list a frame's side data,
    # which it cannot (ValueError) as soon as one kind is unknown to it, such as EXIF in motion JPEG.
    with suppress(KeyError, ValueError):
        side_data: Any = frame.side_data
        a, b, _, c, d = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)[:5].tolist()
    swapped = abs(b) > abs(a)
    down, right = (b, c) if swapped else (d, a)
    return swapped, -1 if down < 0 else 1, -1 if right < 0 else 1


def _resampled(container: InputContainer, sampling_rate: int) -> Iterator[NDArray[np.float32]]:
    resampler = None
    for frame in chain(container.decode(audio=0), [None]):
        if resampler is None:
            if frame is None:
                return
            # A small file at 1 Hz would fill the memory once resampled.
            check_range("the file's sampling rate", frame.sample_rate, 1_000, 768_000)
            # Asked of the frame, as headers announce some stereo (HE-AAC v2) as mono. FFmpeg's own mono
            # to stereo loses 3 dB, so mono stays mono here and is duplicated by the caller.
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            resampler = AudioResampler("fltp", layout, sampling_rate, options={"rematrix_maxval": "1.0"})
        # With nothing to convert, PyAV hands the flushing None back.
        for chunk in filter(None, resampler.resample(frame)):
            yield np.asarray(chunk.to_ndarray(), np.float32)
