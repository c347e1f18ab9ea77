"""Media files made for tests, and the project's real ones where COSMOS3_ASSETS names their folder."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

CARD = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (18, 200, 77)]
QUADRANTS = np.kron([[0, 85], [170, 255]], np.ones((24, 32)))[..., None].repeat(3, -1).astype(np.uint8)


def picture(index: int = 0, height: int = 48, width: int = 64) -> Pixels:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + index) * 2 % 256, y * 5 % 256, (x + y + index) % 256], -1).astype(np.uint8)


def flat(colour: Colour, height: int = 64, width: int = 64) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def tone(seconds: float, rate: int = 48_000, channels: int = 2) -> NDArray[np.float32]:
    # A sweep matches itself at one alignment only.
    time = np.arange(round(seconds * rate)) / rate
    sweep = 0.5 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    return np.stack([sweep * (1 - 0.3 * channel) for channel in range(channels)]).astype(np.float32)


def mp4(count: int = 5, fps: float = 24, sound: NDArray[np.float32] | None = None, **options: Any) -> bytes:
    content, height = io.BytesIO(), options.pop("height", 48)
    encode_mp4(content, (picture(index, height) for index in range(count)), fps, sound, **options)
    return content.getvalue()


def other_video(
    pixels: Pixels, matrix: int = 5, codec: str = "libx264", pixel_format: str = "yuv420p", **options: Any
) -> bytes:
    # A file that encode_mp4 does not write; `matrix` is used by the conversion, `colorspace` is the tag.
    content = io.BytesIO()
    with av.open(content, "w", format=options.pop("container", "mp4")) as output:
        turn, size = options.pop("turn", None), {"width": pixels.shape[1], "height": pixels.shape[0]}
        stream: Any = output.add_stream(codec, 10, {}, pix_fmt=pixel_format, **size, **options)
        if turn is not None:
            stream.set_display_rotation(*turn)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
            format=pixel_format, dst_colorspace=matrix, dst_color_range=options.get("color_range")
        )
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return content.getvalue()


def wav(samples: NDArray[np.int16], rate: int = 48_000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as output:
        output.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        output.writeframes(samples.tobytes())
    return content.getvalue()


SMALL: dict[str, bytes] = {
    "png": encode_image(picture(), "png"),
    "jpeg": encode_image(picture(), "jpeg"),
    "webp": encode_image(picture(), "webp"),
    "mp4": mp4(3, sound=tone(0.1)),
}
LONGER = [mp4(30), mp4(30, sound=tone(1.2))]


def real_files(folder: str, *stand_ins: str) -> list[bytes]:
    if not (assets := os.environ.get("COSMOS3_ASSETS")):
        return [SMALL[name] for name in stand_ins]
    # The long videos take gigabytes once decoded and would show nothing more.
    return [path.read_bytes() for path in Path(assets, folder).iterdir() if path.stat().st_size < 2_000_000]


def refuses(message: str, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
    with pytest.raises(MediaError, match=message):
        function(*arguments, **options)


def distance(left: Pixels, right: Pixels | Colour) -> int:
    return int(np.abs(left.astype(int) - np.asarray(right)).max())
