"""Finds the gripper: the white disc."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.render import GRIPPER_RADIUS, RIM_WIDTH

WHITE_FROM, WHITE_TO = 150.0, 230.0
"""Darkest channel at which a pixel begins to count as white, and from which it does so fully."""
MOST_COLOURED = 70.0
"""The largest difference between the channels of a white pixel."""
EXPECTED_AREA = np.pi * (GRIPPER_RADIUS - RIM_WIDTH) ** 2
AREA_WITHIN = (0.3, 3.0)
"""How small and how large it may be, as parts of its true area."""


def gripper_path(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Where the gripper is in each frame.

    Args:
        frames: uint8 `[frames, height, width, 3]`.

    Returns:
        `[frames, 2]`, x and y in heights; NaN where it is not seen.
    """
    return np.array([_place(frame.astype(np.float32)) or (np.nan, np.nan) for frame in frames])


def path_error(path: NDArray[np.float64], true: NDArray[np.float64], aspect: float) -> float | None:
    """The mean distance between two paths as a part of the frame's width; None where one is never seen.

    Args:
        path, true: `[frames, 2]` in heights. Frames in which the gripper is not seen count as half a width off.
        aspect: width in heights.
    """
    distances = np.linalg.norm(path - true, axis=1) / aspect
    if np.isnan(distances).all():
        return None
    return float(np.where(np.isnan(distances), 0.5, distances).mean())


def _place(pixels: NDArray[np.float32]) -> tuple[float, float] | None:
    height = pixels.shape[0]
    darkest, brightest = pixels.min(axis=2), pixels.max(axis=2)
    white = np.clip((darkest - WHITE_FROM) / (WHITE_TO - WHITE_FROM), 0.0, 1.0)
    white[brightest - darkest > MOST_COLOURED] = 0.0
    count, labels = cv2.connectedComponents((white > 0).astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), white.ravel(), count)[1:] / height**2 / EXPECTED_AREA
    fitting = np.flatnonzero((sums >= AREA_WITHIN[0]) & (sums <= AREA_WITHIN[1]))
    if not len(fitting):
        return None
    best = fitting[np.abs(np.log(sums[fitting])).argmin()] + 1
    weights = np.where(labels == best, white, 0.0)
    y, x = np.mgrid[:height, : pixels.shape[1]] + 0.5
    total = float(weights.sum()) * height
    return float((weights * x).sum()) / total, float((weights * y).sum()) / total
