"""Controls computed from frames, against OpenCV called as the specification words it (spec 9.4)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos3_core.codecs.control import computed
from cosmos3_core.controls import Control, ControlKind, Strength
from tests.parity.cases import picture

EDGE = {
    "none": (20, 50),
    "very_low": (20, 50),
    "low": (50, 100),
    "medium": (100, 200),
    "high": (200, 300),
    "very_high": (300, 400),
}
BLUR = {"very_low": (1, 4), "low": (4, 4), "medium": (2, 10), "high": (1, 16), "very_high": (4, 16)}
# The longer side may be either, and is no multiple of any factor.
FRAMES = {"wide": (90, 154), "high": (146, 82)}

Frame = NDArray[np.uint8]
each_shape = pytest.mark.parametrize("size", FRAMES.values(), ids=FRAMES)


def clip(size: tuple[int, int]) -> Frame:
    return np.stack([picture(*size, seed) for seed in range(2)])


def control(kind: str, strength: str) -> Control:
    return Control(kind=ControlKind(kind), strength=Strength(strength))


@each_shape
@pytest.mark.parametrize("strength", EDGE)
def test_edges_are_those_of_canny_between_the_thresholds(size: tuple[int, int], strength: str) -> None:
    frames = clip(size)
    found = computed(control("edge", strength), frames)
    assert found.shape == frames.shape and found.dtype == np.uint8
    for frame, edges in zip(frames, found, strict=True):
        expected = cv2.Canny(frame, *EDGE[strength])
        assert set(np.unique(expected)) <= {0, 255}
        assert all(np.array_equal(edges[..., channel], expected) for channel in range(3))


@each_shape
@pytest.mark.parametrize("strength", BLUR)
def test_blur_is_one_bilateral_pass_between_two_changes_of_size(size: tuple[int, int], strength: str) -> None:
    before, after = BLUR[strength]
    height, width = size
    for frame, blurred in zip(clip(size), computed(control("blur", strength), clip(size)), strict=True):
        small = cv2.resize(frame, (width // before, height // before), interpolation=cv2.INTER_AREA)
        scale = max(height // before, width // before) / 720
        diameter = round(30 * scale) // 2 * 2 + 1
        smooth = cv2.bilateralFilter(small, diameter, max(150 * scale, 1), max(100 * scale, 1))
        smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
        coarse = cv2.resize(smooth, (width // after, height // after), interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(blurred, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
        assert blurred.std() < frame.std()


def test_blur_of_no_strength_is_the_frame() -> None:
    frames = clip((64, 80))
    assert np.array_equal(computed(control("blur", "none"), frames), frames)


@pytest.mark.parametrize("kind", ["edge", "blur"])
def test_the_smallest_frame_has_a_control(kind: str) -> None:
    assert computed(control(kind, "very_high"), clip((2, 3))).shape == (2, 2, 3, 3)
