"""Previews: colours of a latent by a fitted map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.preview import LONGEST_SIDE, fit_preview_map, preview
from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.codecs.video_vae import VideoEncoder
from cosmos3_core.settings import ExecutionSettings


@pytest.fixture(scope="module")
def encoder(nano: Path) -> VideoEncoder:
    return VideoEncoder.from_checkpoint(Checkpoint.find(str(nano)), ExecutionSettings(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def colours(encoder: VideoEncoder) -> PreviewMap:
    return fit_preview_map(encoder)


def quadrants() -> np.ndarray:
    """Four patches of colour, 128 x 192."""
    picture = np.zeros((128, 192, 3), np.uint8)
    for row, column, colour in (
        (0, 0, (200, 60, 50)),
        (0, 1, (60, 190, 70)),
        (1, 0, (50, 70, 200)),
        (1, 1, (210,) * 3),
    ):
        picture[64 * row : 64 * row + 64, 96 * column : 96 * column + 96] = colour
    return picture


def test_a_picture_is_recognised(encoder: VideoEncoder, colours: PreviewMap) -> None:
    picture = quadrants()
    clip = torch.from_numpy(picture).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    shown = preview(encoder.encode(clip), colours).astype(float)
    assert shown.shape[0] * 192 == shown.shape[1] * 128 and shown.shape[1] <= LONGEST_SIDE
    scale = shown.shape[0] / 128
    for row, column in ((32, 48), (32, 144), (96, 48), (96, 144)):
        found = shown[int(row * scale), int(column * scale)]
        assert np.abs(found - picture[row, column]).max() < 40, (row, column, found)


def test_the_map_is_the_same_each_time(encoder: VideoEncoder, colours: PreviewMap) -> None:
    again = fit_preview_map(encoder)
    assert np.array_equal(again.weight, colours.weight) and np.array_equal(again.bias, colours.bias)
    assert colours.weight.shape == (48, 3) and colours.bias.shape == (3,)


@pytest.mark.parametrize("shape", [(48, 1, 4, 4), (48, 5, 45, 80), (48, 48, 7, 11)])
def test_any_size_gives_a_small_picture(colours: PreviewMap, shape: tuple[int, ...]) -> None:
    shown = preview(torch.randn(shape, generator=torch.manual_seed(0)), colours)
    assert shown.dtype == np.uint8 and max(shown.shape) <= LONGEST_SIDE
    assert shown.shape[0] % shape[2] == 0 and shown.shape[1] % shape[3] == 0
