"""The contact sheet has a strip for each kind of clip."""

from __future__ import annotations

import numpy as np

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
