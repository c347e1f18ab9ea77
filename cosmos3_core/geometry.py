"""Sizes a request may have: tiers, aspect ratios, frame counts, latent shapes (spec 6.3, 6.6, 7.4).

Pure arithmetic on numbers; every refusal names the field of the request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosmos3_core.errors import RequestError
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE

VAE_SPATIAL_STRIDE = 16
MIN_FRAMES, MAX_FRAMES = 1, 400
MIN_FPS, MAX_FPS = 1.0, 60.0
MIN_SIDE, MAX_SIDE = 64, 8192
EDIT_SIDE, EDIT_STRIDE = 512, 32
MAX_CANVAS_PIXELS = 7680 * 4320

SIZES: dict[str, dict[str, tuple[int, int]]] = {
    "256": {"1,1": (256, 256), "4,3": (320, 256), "3,4": (256, 320), "16,9": (320, 192), "9,16": (192, 320)},
    "480": {"1,1": (640, 640), "4,3": (736, 544), "3,4": (544, 736), "16,9": (832, 480), "9,16": (480, 832)},
    "704": {
        "1,1": (960, 960),
        "4,3": (1088, 832),
        "3,4": (832, 1088),
        "16,9": (1280, 704),
        "9,16": (704, 1280),
    },
    "720": {
        "1,1": (960, 960),
        "4,3": (1104, 832),
        "3,4": (832, 1104),
        "16,9": (1280, 720),
        "9,16": (720, 1280),
    },
    "768": {
        "1,1": (1024, 1024),
        "4,3": (1184, 880),
        "3,4": (880, 1184),
        "16,9": (1360, 768),
        "9,16": (768, 1360),
    },
}
"""(width, height) by tier and aspect ratio (spec 6.6)."""

ACTION_TIERS = ("256", "480", "704", "720")


@dataclass(frozen=True)
class Canvas:
    """A frame size in pixels."""

    width: int
    height: int

    @property
    def latent(self) -> tuple[int, int]:
        """Latent height and width."""
        return self.height // VAE_SPATIAL_STRIDE, self.width // VAE_SPATIAL_STRIDE


def tier_canvas(tier: str, aspect_ratio: str) -> Canvas:
    """The size of a tier at an aspect ratio such as `"16,9"`.

    Raises:
        RequestError: `resolution` or `aspect_ratio` is not in the table.
    """
    if tier not in SIZES:
        raise RequestError("resolution", f"is {tier!r}; expected one of {', '.join(SIZES)}")
    key = aspect_ratio.replace(":", ",")
    if key not in SIZES[tier]:
        raise RequestError("aspect_ratio", f"is {aspect_ratio!r}; expected one of {', '.join(SIZES[tier])}")
    return Canvas(*SIZES[tier][key])


def check_canvas(width: int, height: int) -> Canvas:
    """A caller's own size, its sides floored to multiples of 16.

    Raises:
        RequestError: a side or the whole is out of range.
    """
    for field, side in (("width", width), ("height", height)):
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise RequestError(field, f"is {side}; expected {MIN_SIDE} to {MAX_SIDE} pixels")
    if width * height > MAX_CANVAS_PIXELS:
        raise RequestError("width", f"x height is {width * height} pixels; at most {MAX_CANVAS_PIXELS}")
    return Canvas(*floor_to_stride(width, height))


def canvas_of_area(pixels: int, source_width: int, source_height: int) -> Canvas:
    """A canvas of about `pixels` at a source's aspect ratio, sides floored to multiples of 16."""

    def side(ratio: float) -> int:
        whole = round(math.sqrt(pixels * ratio)) // VAE_SPATIAL_STRIDE * VAE_SPATIAL_STRIDE
        return min(max(whole, MIN_SIDE), MAX_SIDE)

    return Canvas(side(source_width / source_height), side(source_height / source_width))


def edit_canvas(source_width: int, source_height: int) -> Canvas:
    """The canvas of an edited picture: its longer side 512, both sides floored to multiples of 32 (spec 9.5)."""
    scale = EDIT_SIDE / max(source_width, source_height)

    def side(length: int) -> int:
        return max(EDIT_STRIDE, int(length * scale) // EDIT_STRIDE * EDIT_STRIDE)

    return Canvas(max(side(source_width), MIN_SIDE), max(side(source_height), MIN_SIDE))


def action_canvas(tier: str, source_width: int, source_height: int) -> Canvas:
    """The canvas of an action request: of the tier's sizes, the one whose aspect is nearest (spec 8.5).

    Raises:
        RequestError: `resolution` is not an action tier.
    """
    if tier not in ACTION_TIERS:
        raise RequestError("resolution", f"is {tier!r}; actions know {', '.join(ACTION_TIERS)}")
    aspect = source_height / source_width
    width, height = min(SIZES[tier].values(), key=lambda size: abs(size[1] / size[0] - aspect))
    return Canvas(width, height)


def fit_inside(canvas: Canvas, width: int, height: int) -> Canvas:
    """The size a source has when it is shrunk, never enlarged, to fit inside a canvas (spec 8.5)."""
    scale = min(canvas.width / width, canvas.height / height, 1.0)
    return Canvas(max(1, int(scale * width + 0.5)), max(1, int(scale * height + 0.5)))


def floor_to_stride(width: int, height: int) -> tuple[int, int]:
    """Both sides cut to multiples of 16, at least 16."""
    step = VAE_SPATIAL_STRIDE
    return max(step, width // step * step), max(step, height // step * step)


def nearest_aspect_ratio(canvas: Canvas) -> str:
    """Of the five canonical ratios, the one nearest to a canvas, such as `"16,9"`."""
    ratio = canvas.width / canvas.height

    def distance(key: str) -> float:
        width, height = key.split(",")
        return abs(int(width) / int(height) - ratio)

    return min(("1,1", "4,3", "3,4", "16,9", "9,16"), key=distance)


def exact_aspect_ratio(canvas: Canvas) -> str:
    """The table's name of a canvas, else its reduced ratio, such as `"13,8"`."""
    for sizes in SIZES.values():
        for name, size in sizes.items():
            if size == (canvas.width, canvas.height):
                return name
    divisor = math.gcd(canvas.width, canvas.height)
    return f"{canvas.width // divisor},{canvas.height // divisor}"


def round_up_frames(frames: int) -> int:
    """The next frame count of the form 4k + 1 (spec 6.3)."""
    return (frames - 2) // VAE_TEMPORAL_STRIDE * VAE_TEMPORAL_STRIDE + VAE_TEMPORAL_STRIDE + 1


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4k + 1 frames: `1 + (F - 1) / 4`."""
    return 1 + (frames - 1) // VAE_TEMPORAL_STRIDE


def sound_latent_frames(seconds: float, sampling_rate: int, hop: int) -> int:
    """Latent sound frames that cover a clip; the sample count is truncated, the frame count rounded up (spec 7.4)."""
    return math.ceil(int(seconds * sampling_rate) / hop)


def check_video_length(num_frames: int, fps: float) -> int:
    """The number of frames that will be made.

    Raises:
        RequestError: `num_frames` or `fps` out of range.
    """
    if not MIN_FPS <= fps <= MAX_FPS or not math.isfinite(fps):
        raise RequestError("fps", f"is {fps}; expected {MIN_FPS:g} to {MAX_FPS:g} frames per second")
    if not MIN_FRAMES <= num_frames <= MAX_FRAMES:
        raise RequestError("num_frames", f"is {num_frames}; expected {MIN_FRAMES} to {MAX_FRAMES}")
    return round_up_frames(num_frames)
