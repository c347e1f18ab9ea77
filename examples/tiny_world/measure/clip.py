"""Reads everything that a clip shows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.measure.blobs import Blob, find_blobs, ground_name, ground_of
from examples.tiny_world.measure.kinds import best_kind, fits
from examples.tiny_world.measure.paths import PathReading, read_path
from examples.tiny_world.measure.tones import ToneReading, read_tone
from examples.tiny_world.scenes.shapes import ShapeKind, Size

FIRST_FRAMES = 5
"""A shape is told by at most so many frames, spread over the clip."""
BETWEEN_SIZES = float(np.sqrt(Size.SMALL.radius * Size.LARGE.radius))


@dataclass(frozen=True)
class SeenShape:
    """A shape that a clip shows.

    Attributes:
        colour, kind, size: how it looks.
        colour_confidence, kind_confidence: 0 to 1.
        radius: of the circle with the same area, in heights.
        places: `[frames, 2]` in heights; NaN where it was not seen.
        motion: how it moves; None for a picture.
    """

    colour: str
    colour_confidence: float
    kind: ShapeKind
    kind_confidence: float
    size: Size
    radius: float
    places: NDArray[np.float64]
    motion: PathReading | None

    @property
    def first_place(self) -> tuple[float, float]:
        """Where it is seen first, in heights."""
        x, y = self.places[~np.isnan(self.places).any(axis=1)][0].tolist()
        return x, y


@dataclass(frozen=True)
class Seen:
    """What a clip shows.

    Attributes:
        shapes: one for each colour that is seen in half of the frames or more, the largest first.
        count: how many shapes the frames have, of the colours of `shapes`: several may share one.
        ground: its colour.
        ground_confidence: 0 to 1.
        tone: what is heard; None without sound or in silence.
    """

    shapes: tuple[SeenShape, ...]
    count: int
    ground: str
    ground_confidence: float
    tone: ToneReading | None = None

    def of_colour(self, colour: str) -> SeenShape | None:
        """The shape of a colour."""
        return next((shape for shape in self.shapes if shape.colour == colour), None)


def read_clip(frames: NDArray[np.uint8], fps: float, sound: NDArray[np.float32] | None = None) -> Seen:
    """Read a clip or a picture.

    Args:
        frames: uint8 `[frames, height, width, 3]`.
        fps: frames per second.
        sound: fp32 `[channels, samples]` at 48 kHz.
    """
    ground = ground_of(frames)
    blobs = [find_blobs(frame, ground) for frame in frames]
    colours = {blob.colour for found in blobs for blob in found}
    tracks = [_track(blobs, colour) for colour in sorted(colours)]
    shapes = [_shape(track, fps) for track in tracks if sum(blob is not None for blob in track) * 2 >= len(frames)]
    seen = {shape.colour for shape in shapes}
    counts = [[sum(blob.colour == colour for blob in found) for found in blobs] for colour in seen]
    name, confidence = ground_name(ground)
    return Seen(
        shapes=tuple(sorted(shapes, key=lambda shape: -shape.radius)),
        count=sum(round(float(np.median(numbers))) for numbers in counts),
        ground=name,
        ground_confidence=confidence,
        tone=None if sound is None else read_tone(sound),
    )


def largest_step(places: NDArray[np.float64]) -> float:
    """The largest distance between two neighbouring frames, in heights; 0 where it is seen in one only."""
    steps = [float(np.hypot(*(after - before))) for before, after in pairwise(places)]
    return max((step for step in steps if not np.isnan(step)), default=0.0)


def _track(blobs: list[list[Blob]], colour: str) -> list[Blob | None]:
    """The largest blob of a colour in each frame."""
    return [next((blob for blob in found if blob.colour == colour), None) for found in blobs]


def _shape(track: list[Blob | None], fps: float) -> SeenShape:
    seen = [blob for blob in track if blob is not None]
    chosen = [seen[index] for index in np.linspace(0, len(seen) - 1, min(FIRST_FRAMES, len(seen))).round().astype(int)]
    kind, kind_confidence = best_kind(np.mean([fits(blob) for blob in chosen], axis=0))
    # At an edge of the frame or below another shape a part of it is missing, so larger areas are nearer to the truth.
    radius = float(np.quantile([blob.radius for blob in seen], 0.75))
    places = np.array([(np.nan, np.nan) if blob is None else (blob.x, blob.y) for blob in track])
    return SeenShape(
        colour=seen[0].colour,
        colour_confidence=float(np.mean([blob.confidence for blob in seen])),
        kind=kind,
        kind_confidence=kind_confidence,
        size=Size.SMALL if radius < BETWEEN_SIZES else Size.LARGE,
        radius=radius,
        places=places,
        motion=read_path(places, fps) if len(track) > 1 else None,
    )
