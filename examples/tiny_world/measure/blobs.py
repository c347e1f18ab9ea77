"""Finds the shapes in one picture: which pixels belong to each, its colour, centre and area."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.palette import COLOURS, GRIPPER, GROUNDS, RIM
from examples.tiny_world.scenes.shapes import Size

Picture = NDArray[np.uint8]
"""RGB `[height, width, 3]`."""
Pixels = NDArray[np.float32]

BORDER = 0.03
"""Width of the border that the colour of the ground is read from, in heights."""
FARTHEST = 110.0
"""The largest distance in RGB between a pixel and a colour that it counts as."""
OFF_LINE = 75.0
"""The largest distance in RGB between a pixel and the mixtures of a shape's colour with the ground's."""
THINNEST = 0.05
"""What is thinner is no shape but a mixture of colours at an edge, in heights."""
LEAST_PART = 0.15
"""Of a pixel at a shape's edge."""
LEAST_AREA = 0.25 * np.pi * Size.SMALL.radius**2
"""Of a shape, in heights squared."""


@dataclass(frozen=True)
class Blob:
    """A shape in one picture.

    Attributes:
        colour: the nearest of `COLOURS`.
        confidence: 1 at the colour itself, 0 halfway to the next.
        x, y: centre of mass, in heights.
        area: in heights squared.
        part: how much of each pixel belongs to it, fp32 `[height, width]` from 0 to 1.
    """

    colour: str
    confidence: float
    x: float
    y: float
    area: float
    part: NDArray[np.float32]

    @property
    def radius(self) -> float:
        """Of the circle with the same area, in heights."""
        return float(np.sqrt(self.area / np.pi))


def ground_of(frames: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The colour of the ground, from the borders of `[frames, height, width, 3]`: RGB, 0 to 255."""
    width = max(1, round(BORDER * frames.shape[1]))
    sides = (frames[:, :width], frames[:, -width:], frames[:, :, :width], frames[:, :, -width:])
    red, green, blue = np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0).tolist()
    return red, green, blue


def nearest(colour: NDArray[np.floating], names: Mapping[str, tuple[int, int, int]]) -> tuple[str, float]:
    """The name of the nearest colour, and how sure that is: 1 at the colour, 0 halfway to the next."""
    distances = {name: float(np.linalg.norm(colour - np.array(value))) for name, value in names.items()}
    first, second = sorted(distances, key=lambda name: distances[name])[:2]
    return first, 1.0 - min(1.0, 2 * distances[first] / (distances[first] + distances[second] + 1e-9))


def ground_name(ground: tuple[float, float, float]) -> tuple[str, float]:
    """The nearest of `GROUNDS`, and how sure that is."""
    return nearest(np.array(ground), GROUNDS)


def find_blobs(picture: Picture, ground: tuple[float, float, float]) -> list[Blob]:
    """The shapes in a picture, the largest first.

    Args:
        picture: uint8 `[height, width, 3]`.
        ground: its colour, as `ground_of` reads it.
    """
    pixels = picture.astype(np.float32)
    height = picture.shape[0]
    kernel = np.ones((max(3, round(THINNEST * height)),) * 2, np.uint8)
    blobs: list[Blob] = []
    # A spot of another colour on a shape has the smaller core.
    for core in sorted(_cores(pixels, ground, kernel), key=lambda core: -int(core.sum())):
        blob = _grown(pixels, core, np.array(ground, np.float32), kernel)
        if blob.area >= LEAST_AREA and not any(_is_on(blob, other) for other in blobs):
            blobs.append(blob)
    return sorted(blobs, key=lambda blob: -blob.area)


def _is_on(spot: Blob, other: Blob) -> bool:
    """Whether a blob lies on another: two shapes never have their centres so near to each other."""
    return math.hypot(spot.x - other.x, spot.y - other.y) < other.radius


def _cores(pixels: Pixels, ground: tuple[float, float, float], kernel: Picture) -> list[NDArray[np.bool_]]:
    """The connected pixels that are nearest to the same colour, without thin parts."""
    palette = np.array([*COLOURS.values(), ground, GRIPPER, RIM], np.float32)
    # Squared distances by the binomial formula: one product of matrices instead of a subtraction for each colour.
    flat = pixels.reshape(-1, 3)
    distances = (palette**2).sum(axis=1) - 2 * flat @ palette.T
    near = distances.min(axis=1) + np.einsum("ij,ij->i", flat, flat) <= FARTHEST**2
    classes = np.where(near, distances.argmin(axis=1), -1).reshape(pixels.shape[:2])
    found = []
    for index in range(len(COLOURS)):
        mask = (classes == index).astype(np.uint8)
        if mask.sum() < 4:
            continue
        # Beyond the picture is what is at its edge, so that a shape there does not count as thin.
        padded = np.pad(mask, kernel.shape[0], mode="edge")
        opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)[(slice(kernel.shape[0], -kernel.shape[0]),) * 2]
        count, labels = cv2.connectedComponents(np.ascontiguousarray(opened), connectivity=4)
        found += [labels == label for label in range(1, count)]
    return found


def _grown(pixels: Pixels, core: NDArray[np.bool_], ground: NDArray[np.float32], kernel: Picture) -> Blob:
    """The whole shape around a core: a pixel at its edge belongs to it as far as its colour says."""
    height, margin = pixels.shape[0], kernel.shape[0]
    rows, columns = (_window(np.flatnonzero(core.any(axis=axis)), margin, core.shape[1 - axis]) for axis in (1, 0))
    near, inner = pixels[rows, columns] - ground, core[rows, columns]
    colour = np.median(pixels[rows, columns][inner], axis=0)
    line = colour - ground
    share = (near @ line) / max(float(line @ line), 1.0)
    off_line = np.linalg.norm(near - share[..., None] * line, axis=2)
    around = cv2.dilate(inner.astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8)) > 0
    share = np.where(around & (off_line <= OFF_LINE), np.clip(share, 0.0, 1.0), 0.0)
    # Noise on the ground is a little of every colour.
    share[share < LEAST_PART] = 0.0
    total = max(float(share.sum()), 1e-6)
    x = float(share.sum(axis=0) @ (np.arange(columns.start, columns.stop) + 0.5)) / total / height
    y = float(share.sum(axis=1) @ (np.arange(rows.start, rows.stop) + 0.5)) / total / height
    part = np.zeros(pixels.shape[:2], np.float32)
    part[rows, columns] = share
    return Blob(*nearest(colour, COLOURS), x, y, total / height**2, part)


def _window(filled: NDArray[np.intp], margin: int, length: int) -> slice:
    """From the first filled row or column to the last, with a margin, inside of the picture."""
    return slice(max(int(filled[0]) - margin, 0), min(int(filled[-1]) + margin + 1, length))
