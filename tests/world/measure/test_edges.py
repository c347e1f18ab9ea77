"""Overlap of edges: known shifts, and the control that the product computes."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos3_core.codecs.control import computed
from cosmos3_core.controls import Control, ControlKind
from examples.tiny_world.measure.edges import edge_masks, edge_overlap
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.render import render
from tests.world.damage import blurred


def test_the_masks_are_the_edge_control() -> None:
    frames = render(draw_scene(np.random.default_rng(0), Topic.MOVE))
    control = computed(Control(kind=ControlKind.EDGE), frames)
    masks = edge_masks(frames)
    assert (masks == (control[..., 0] == 255)).all() and masks.any(axis=(1, 2)).all()


def test_a_clip_agrees_with_itself_with_a_small_shift_and_not_with_a_large_one() -> None:
    frames = render(draw_scene(np.random.default_rng(0), Topic.MOVE))
    masks = edge_masks(frames)
    assert edge_overlap(masks, masks) == 1
    assert edge_overlap(masks, np.roll(masks, 2, axis=2)) == 1
    far = edge_overlap(masks, np.roll(masks, 30, axis=2))
    assert far is not None and far < 0.35
    soft = edge_overlap(masks, edge_masks(blurred(frames)))
    assert soft is not None and soft > 0.7


def test_half_of_the_edges() -> None:
    first = np.zeros((1, 40, 40), bool)
    first[0, 10, 5:25] = first[0, 30, 5:25] = True
    second = first.copy()
    second[0, 30] = False
    assert edge_overlap(first, second, within=0) == pytest.approx(0.5)
    assert edge_overlap(first, ~first & False) == 0
    assert edge_overlap(first & False, first & False) is None


@pytest.mark.parametrize("within", [0, 2])
def test_the_tolerance_is_a_distance(within: int) -> None:
    first = np.zeros((1, 20, 20), bool)
    first[0, 10, 10] = True
    for shift in range(5):
        expected = 1.0 if shift <= within else 0.0
        assert edge_overlap(first, np.roll(first, shift, axis=1), within) == expected
