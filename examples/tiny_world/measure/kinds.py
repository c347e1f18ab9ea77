"""Tells which shape a blob is, by how well each fits onto it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.measure.blobs import Blob
from examples.tiny_world.scenes.render import coverage
from examples.tiny_world.scenes.shapes import ShapeKind, outline


def fits(blob: Blob) -> NDArray[np.float64]:
    """The overlap (intersection over union) of a blob with each shape of its area at its place, in their order."""
    return np.array([_fit(blob, kind) for kind in ShapeKind])


def best_kind(overlaps: NDArray[np.float64]) -> tuple[ShapeKind, float]:
    """The shape that fits best, and how sure that is: the lead over the next, 1 at a quarter or more."""
    order = np.argsort(-overlaps)
    return list(ShapeKind)[order[0]], min(1.0, 4 * float(overlaps[order[0]] - overlaps[order[1]]))


def _fit(blob: Blob, kind: ShapeKind) -> float:
    height, width = blob.part.shape
    rows, columns, expected = coverage(outline(kind, blob.radius, blob.x, blob.y), width, height)
    found = blob.part[rows, columns]
    common = float(np.minimum(expected, found).sum())
    return common / max(float(expected.sum()) + float(blob.part.sum()) - common, 1e-6)
