"""What every reader and writer of media refuses: wrong arrays, numbers out of range, pictures that are too large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.errors import CosmosError

DEFAULT_QUALITY = 95
"""Quality of lossy files where the caller names none, from 1 to 100."""
MAX_PIXELS = 178_956_970
"""Largest image or video frame accepted, in pixels (width times height)."""

MAX_CLIP_BYTES = 4 * 2**30
"""Largest clip that is held decoded, in bytes of RGB."""


class MediaError(CosmosError, ValueError):
    """Media that cannot be decoded or encoded; the message says what is wrong and what would be right."""


class UnknownFormat(MediaError):
    """A file of none of the formats that are read."""


class TooManyPixels(MediaError):
    """A picture above `MAX_PIXELS`, refused before any of it is decoded."""


def check_size(width: int, height: int) -> None:
    """Refuse more pixels than `MAX_PIXELS`.

    Raises:
        TooManyPixels: with the size and the limit.
    """
    if width * height > MAX_PIXELS:
        raise TooManyPixels(f"{width}x{height} is above the limit of {MAX_PIXELS} pixels")


def check_frame(pixels: NDArray[np.uint8], name: str) -> None:
    """Refuse what is not RGB uint8 [H, W, 3].

    Raises:
        MediaError: with the name, dtype and shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise MediaError(f"{name} is {pixels.dtype} {pixels.shape}; use uint8 (height, width, 3)")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a number below `low` or above `high`.

    Raises:
        MediaError: with the name, value and limits.
    """
    if not low <= value <= high:
        raise MediaError(f"{name} is {value}; use {low} to {high}")
