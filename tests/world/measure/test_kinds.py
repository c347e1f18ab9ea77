"""Shapes are told apart, also where a part is missing."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.measure.blobs import find_blobs, ground_of
from examples.tiny_world.measure.kinds import best_kind, fits
from examples.tiny_world.scenes.palette import COLOURS, GROUNDS
from examples.tiny_world.scenes.render import draw, shape_at
from examples.tiny_world.scenes.shapes import ShapeKind, Size
from tests.world.damage import blurred


@pytest.mark.parametrize("size", Size)
@pytest.mark.parametrize("kind", ShapeKind)
def test_each_shape_fits_itself_best(kind: ShapeKind, size: Size) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        x, y = rng.uniform(0.5, 1.1), rng.uniform(0.4, 0.6)
        picture = draw(GROUNDS["brown"], [shape_at(kind, COLOURS["cyan"], size.radius, x, y)], 160, 96)
        for seen, least in ((picture, 0.95), (blurred(picture[None])[0], 0.8)):
            (blob,) = find_blobs(seen, ground_of(seen[None]))
            overlaps = fits(blob)
            found, confidence = best_kind(overlaps)
            assert found is kind and overlaps.max() > least and confidence > 0.15


def test_a_tie_has_no_confidence() -> None:
    assert best_kind(np.array([0.8, 0.8, 0.5, 0.4]))[1] == 0
