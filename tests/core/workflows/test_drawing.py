"""Labels and panels of text."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.workflows.drawing import (
    COLOURS,
    MAX_LABEL,
    MAX_LINES,
    colour_of,
    draw_label,
    font_of,
    short,
    stacked,
    text_panel,
)


def test_colours_differ_and_repeat() -> None:
    assert len(set(COLOURS)) == len(COLOURS)
    assert colour_of(3) == colour_of(3 + len(COLOURS))


@pytest.mark.parametrize(("text", "cut"), [("a\n b\tc", "a b c"), ("x" * MAX_LABEL, "x" * MAX_LABEL), ("", "")])
def test_a_label_is_one_line(text: str, cut: str) -> None:
    assert short(text) == cut


def test_a_long_label_is_cut() -> None:
    assert short("x" * 99) == "x" * (MAX_LABEL - 3) + "..."


@pytest.mark.parametrize("place", [(50, 60), (-99, -99), (9999, 9999), (0, 0)])
def test_a_label_stays_in_the_image(place: tuple[float, float]) -> None:
    image = Image.new("RGB", (200, 100), "white")
    draw_label(image, place, "cup", (200, 0, 0), font_of(14))
    patch: NDArray[np.bool_] = (np.asarray(image) == (200, 0, 0)).all(-1)
    assert patch.sum() > 200
    rows, columns = np.flatnonzero(patch.any(1)), np.flatnonzero(patch.any(0))
    if place[0] == 50:
        assert (columns[0], rows[-1]) == place


@pytest.mark.parametrize("width", [1, 20, 400])
@pytest.mark.parametrize("text", ["", "word " * 400, "x" * 5000, "Ж 杯 😀", "a\x00b"])
def test_a_panel_has_the_width_and_a_bounded_height(width: int, text: str) -> None:
    panel = text_panel([text], width, 14)
    assert panel.width == width and panel.height <= 20 * MAX_LINES + 20


def test_a_panel_grows_with_its_lines() -> None:
    assert text_panel(["a"], 300, 14).height < text_panel(["a", "b", "c"], 300, 14).height
    assert (np.asarray(text_panel(["a"], 300, 14)) < 128).any()


def test_pictures_below_each_other() -> None:
    whole = np.asarray(stacked([Image.new("RGB", (4, 2), "red"), Image.new("RGB", (4, 3), "blue")]))
    assert whole.shape == (5, 4, 3)
    assert (whole[:2] == (255, 0, 0)).all() and (whole[2:] == (0, 0, 255)).all()
