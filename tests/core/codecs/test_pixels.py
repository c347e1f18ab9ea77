"""Frames on the canvas: the picture that is edited, and clips that are continued (spec 9.4, 9.5)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cosmos3_core.codecs import pixels
from cosmos3_core.geometry import Canvas, edit_canvas
from tests.parity.cases import picture


@pytest.mark.parametrize(
    ("frames", "length", "order"),
    [
        (3, 3, [0, 1, 2]),
        (3, 2, [0, 1, 2]),
        (3, 4, [0, 1, 2, 2]),
        (3, 5, [0, 1, 2, 2, 1]),
        (3, 8, [0, 1, 2, 2, 1, 1, 2, 2]),
        (2, 5, [0, 1, 1, 1, 1]),
        (1, 4, [0, 0, 0, 0]),
    ],
)
def test_a_short_clip_runs_back_and_forth(frames: int, length: int, order: list[int]) -> None:
    assert pixels.reflected(frames, length).tolist() == order


@given(st.integers(1, 20), st.integers(1, 200))
def test_a_continued_clip_begins_as_it_was_and_never_jumps(frames: int, length: int) -> None:
    order = pixels.reflected(frames, length)
    assert len(order) == max(frames, length) and order[:frames].tolist() == list(range(frames))
    assert np.abs(np.diff(order)).max(initial=0) <= 1 and set(order.tolist()) <= set(range(frames))


def test_an_edited_picture_is_resized_whole() -> None:
    source = picture(300, 700, seed=1)
    canvas = edit_canvas(700, 300)
    assert canvas == Canvas(512, 192)
    resized = np.array(Image.fromarray(source).resize((512, 192), Image.Resampling.LANCZOS))
    whole = pixels.to_clip(pixels.to_tensor(resized[None]))
    assert torch.equal(pixels.picture(source[None], canvas, "bilinear"), whole)
    other = Canvas(256, 256)
    covering = pixels.cover(source[None], other, "bilinear")
    assert torch.equal(pixels.picture(source[None], other, "bilinear"), covering)
