"""The contact sheet has a strip for each kind of clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmos3_core.media.stills import decode_image
from examples.tiny_world.contact_sheet import GAP, SHOWN, rows, sheet


def test_the_sheet_shows_first_and_last_frames_at_its_sides() -> None:
    clips = rows()[:2]
    assert all(len(frames) == 9 for _, frames in clips)
    picture = np.array(sheet(clips))
    assert picture.shape[1] == SHOWN * 160 + (SHOWN - 1) * GAP
    for _, frames in clips:
        tops = [top for top in range(len(picture) - 95) if (picture[top : top + 96, :160] == frames[0]).all()]
        assert len(tops) == 1
        assert (picture[tops[0] : tops[0] + 96, -160:] == frames[-1]).all()


def test_the_page_shows_the_sheet_that_the_code_draws() -> None:
    path = Path(__file__).parents[2] / "docs" / "images" / "tiny-world.png"
    assert path.stat().st_size < 40_000
    shown, drawn = decode_image(path).astype(int), np.array(sheet(rows())).astype(int)
    assert shown.shape == drawn.shape and np.abs(shown - drawn).mean() < 2
