"""Reads how something moves from where it is in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.facts import Path

LEAST_TRAVEL = 0.04
"""What moves less counts as still, in heights."""
STRAIGHT_WITHIN = 0.008
"""How far positions may be off a line on average, in heights, before a bend is looked for."""
BEND_IMPROVES = 0.6
"""A bend is believed if it brings the distance down to this part."""


@dataclass(frozen=True)
class PathReading:
    """How something moves.

    Attributes:
        path: the kind of motion, its directions and speed.
        before, after: velocity in the beginning and in the end, in heights per second.
        bend: when it changes, in seconds; None where it does not.
        off: how far the positions are off the path on average, in heights.
        confidence: 1 where they lie on it, 0 where they are off by a tenth of a height.
    """

    path: Path
    before: tuple[float, float]
    after: tuple[float, float]
    bend: float | None
    off: float
    confidence: float


def read_path(places: NDArray[np.float64], fps: float) -> PathReading | None:
    """The motion through some places.

    Args:
        places: `[frames, 2]` in heights; NaN where nothing was seen.
        fps: frames per second.

    Returns:
        None where it is seen in fewer than two frames.
    """
    seen = ~np.isnan(places).any(axis=1)
    if seen.sum() < 2:
        return None
    times, points = np.flatnonzero(seen) / fps, places[seen]
    velocities, off = _fit(times, points, None)
    bend = None
    if off > STRAIGHT_WITHIN and len(times) >= 5:
        candidates = np.arange(times[1], times[-2] + 1e-9, 0.25 / fps)
        tried = [(_fit(times, points, float(time)), float(time)) for time in candidates]
        (bent, bent_off), time = min(tried, key=lambda item: item[0][1])
        if bent_off < BEND_IMPROVES * off:
            velocities, off, bend = bent, bent_off, time
    ends = (times[0], times[-1]) if bend is None else (times[0], bend, times[-1])
    lengths = np.diff(ends)
    before, after = (_velocity(velocities[index], lengths[index]) for index in (0, len(lengths) - 1))
    path = Path.of(before, after, still=1e-9)
    return PathReading(path, before, after, bend, off, max(0.0, 1.0 - 10 * off))


def _velocity(velocity: NDArray[np.float64], seconds: float) -> tuple[float, float]:
    if np.hypot(*velocity) * seconds < LEAST_TRAVEL:
        return 0.0, 0.0
    return float(velocity[0]), float(velocity[1])


def _fit(
    times: NDArray[np.float64], points: NDArray[np.float64], bend: float | None
) -> tuple[NDArray[np.float64], float]:
    """The velocities `[1 or 2, 2]` of the nearest line, with or without a bend; how far the points are off it."""
    columns = [np.ones_like(times), times]
    if bend is not None:
        columns.append(np.clip(times - bend, 0.0, None))
    basis = np.stack(columns, axis=1)
    solution, *_ = np.linalg.lstsq(basis, points, rcond=None)
    off = float(np.sqrt(((points - basis @ solution) ** 2).sum(axis=1).mean()))
    return np.cumsum(solution[1:], axis=0), off
