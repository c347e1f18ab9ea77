"""How well the edges of two clips agree: of a control, and of the video that should follow it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cosmos3_core.codecs.control import edges
from cosmos3_core.controls import Strength

WITHIN = 2
"""How far apart two edges may be that count as the same, in pixels."""


def edge_masks(frames: NDArray[np.uint8], strength: Strength = Strength.MEDIUM) -> NDArray[np.bool_]:
    """The edges that the control of transfer has, bool `[frames, height, width]`."""
    return np.stack([edges(frame, strength)[..., 0] > 0 for frame in frames])


def edge_overlap(first: NDArray[np.bool_], second: NDArray[np.bool_], within: int = WITHIN) -> float | None:
    """Intersection over union of the edges of two clips; an edge pixel counts as common if the other has one near it.

    Args:
        first, second: bool `[frames, height, width]`.
        within: how near, in pixels.

    Returns:
        0 to 1; None where neither has edges.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * within + 1,) * 2)
    common = 0
    for one, other in ((first, second), (second, first)):
        for mask, against in zip(one, other, strict=True):
            common += int((mask & (cv2.dilate(against.astype(np.uint8), kernel) > 0)).sum())
    total = int(first.sum()) + int(second.sum())
    return None if total == 0 else common / 2 / (total - common / 2)
