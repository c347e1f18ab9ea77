"""Controls that are computed from a video: edges and blur, frame by frame (spec 9.4). OpenCV does the filtering."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cosmos3_core.controls import Control, ControlKind, Strength

Frame = NDArray[np.uint8]
Frames = NDArray[np.uint8]

CANNY_THRESHOLDS: dict[Strength, tuple[int, int]] = {
    Strength.NONE: (20, 50),
    Strength.VERY_LOW: (20, 50),
    Strength.LOW: (50, 100),
    Strength.MEDIUM: (100, 200),
    Strength.HIGH: (200, 300),
    Strength.VERY_HIGH: (300, 400),
}
"""Lower and upper threshold of the gradient, in grey levels."""
BEFORE_BLUR = {
    Strength.VERY_LOW: 1,
    Strength.LOW: 4,
    Strength.MEDIUM: 2,
    Strength.HIGH: 1,
    Strength.VERY_HIGH: 4,
}
"""How many times smaller the frame is blurred."""
AFTER_BLUR = {
    Strength.VERY_LOW: 4,
    Strength.LOW: 4,
    Strength.MEDIUM: 10,
    Strength.HIGH: 16,
    Strength.VERY_HIGH: 16,
}
"""How many times smaller the blurred frame is made before it is brought back to its size."""
REFERENCE_SIDE = 720
"""The longer side that the bilateral filter's numbers are for, in pixels."""
DIAMETER, SIGMA_COLOR, SIGMA_SPACE = 30, 150, 100


def computed(control: Control, frames: Frames) -> Frames:
    """A control of some frames.

    Args:
        control: its kind and its strength.
        frames: uint8 `[frames, height, width, 3]`.

    Returns:
        uint8 of the same shape.
    """
    make = edges if control.kind is ControlKind.EDGE else blurred
    return np.stack([make(frame, control.strength) for frame in frames])


def edges(frame: Frame, strength: Strength) -> Frame:
    """Canny's edges of a frame, white on black, in three equal channels."""
    low, high = CANNY_THRESHOLDS[strength]
    found = cv2.Canny(np.ascontiguousarray(frame), low, high)
    return np.repeat(np.asarray(found, np.uint8)[..., None], 3, axis=2)


def blurred(frame: Frame, strength: Strength) -> Frame:
    """A frame without detail: one pass of a bilateral filter on a smaller picture, then fewer pixels."""
    if strength is Strength.NONE:
        return frame
    height, width = frame.shape[:2]
    smaller = _resized(frame, width // BEFORE_BLUR[strength], height // BEFORE_BLUR[strength], cv2.INTER_AREA)
    smooth = _resized(_bilateral(smaller), width, height, cv2.INTER_LINEAR)
    fewer = AFTER_BLUR[strength]
    coarse = _resized(smooth, int(width / fewer), int(height / fewer), cv2.INTER_CUBIC)
    return _resized(coarse, width, height, cv2.INTER_CUBIC)


def _bilateral(frame: Frame) -> Frame:
    scale = max(frame.shape[:2]) / REFERENCE_SIDE
    diameter = max(1, round(DIAMETER * scale))
    diameter += 1 - diameter % 2
    filtered = cv2.bilateralFilter(frame, diameter, max(1.0, SIGMA_COLOR * scale), max(1.0, SIGMA_SPACE * scale))
    return np.asarray(filtered, np.uint8)


def _resized(frame: Frame, width: int, height: int, interpolation: int) -> Frame:
    resized = cv2.resize(np.ascontiguousarray(frame), (max(1, width), max(1, height)), interpolation=interpolation)
    return np.asarray(resized, np.uint8)
