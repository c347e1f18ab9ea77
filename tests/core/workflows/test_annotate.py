"""Answers drawn onto images: marks are where the answer says, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos3_core.media.checks import MediaError
from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import (
    Actions,
    Box,
    Caption,
    Label,
    Point,
    Regions,
    Result,
    Trajectory,
    Unreadable,
    Verdict,
)
from cosmos3_core.workflows.drawing import colour_of
from cosmos3_core.workflows.medium import Medium, MediumKind
from tests.core.workflows.samples import GREY, grey_image

CUP = Box(x1=100, y1=200, x2=300, y2=400)
TEXTS: list[Result] = [
    Caption(text="A grey picture."),
    Actions(answer="Wait.", actions=("look",)),
    Verdict(plausible=True),
    Label(label="fog"),
    Unreadable(reason="the answer is empty"),
    Regions(),
]


def changed(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    marks: NDArray[np.bool_] = (pixels != GREY).any(-1)
    return marks


def test_a_box_is_an_outline_in_its_place() -> None:
    pixels = annotated(grey_image(), Regions(boxes=(CUP,)))
    assert pixels.shape == (480, 640, 3) and pixels.dtype == np.uint8
    for row, column in ((200, 200), (400, 200), (300, 100), (300, 300)):
        assert tuple(pixels[row, column]) == colour_of(0)
    marks = changed(pixels)
    assert not marks[210:390, 110:290].any()
    assert not marks[:195].any() and not marks[405:].any() and not marks[:, :95].any() and not marks[:, 305:].any()


def test_boxes_have_colours_of_their_own() -> None:
    boxes = (CUP, Box(x1=350, y1=200, x2=450, y2=400))
    pixels = annotated(grey_image(), Regions(boxes=boxes))
    assert tuple(pixels[300, 100]) == colour_of(0) and tuple(pixels[300, 350]) == colour_of(1)


def test_a_label_stands_on_its_box() -> None:
    bare = annotated(grey_image(), Regions(boxes=(CUP,)))
    labelled = annotated(grey_image(), Regions(boxes=(CUP.model_copy(update={"label": "cup"}),)))
    rows, columns = np.nonzero((bare != labelled).any(-1))
    assert rows.min() >= 170 and rows.max() <= 205 and columns.min() >= 100 and columns.max() <= 180


def test_a_point_is_a_dot() -> None:
    marks = changed(annotated(grey_image(), Regions(points=(Point(x=320, y=240),))))
    assert marks[240, 320] and marks.sum() < 200
    rows, columns = np.nonzero(marks)
    assert abs(rows.mean() - 240) < 1 and abs(columns.mean() - 320) < 1


def test_a_path_connects_its_points() -> None:
    points = tuple(Point(x=x, y=y) for x, y in ((100, 100), (300, 100), (300, 300)))
    pixels = annotated(grey_image(), Trajectory(points=points))
    assert pixels.shape == (480, 640, 3)
    assert tuple(pixels[100, 230]) == colour_of(0) and tuple(pixels[200, 300]) == colour_of(0)
    assert not changed(pixels)[350:].any()


@pytest.mark.parametrize("count", [1, 2, 40])
def test_paths_of_any_length(count: int) -> None:
    points = tuple(Point(x=10 * number, y=5 * number, label="x" * 99) for number in range(count))
    assert changed(annotated(grey_image(), Trajectory(points=points))).any()


def test_a_described_box_has_its_text_below() -> None:
    box = CUP.model_copy(update={"label": "cup", "description": "It is red."})
    pixels = annotated(grey_image(), Regions(boxes=(box,)))
    assert pixels.shape[0] > 480 and pixels.shape[1] == 640
    assert (pixels[480:] < 128).any()
    assert tuple(pixels[300, 100]) == colour_of(0)


@pytest.mark.parametrize("result", TEXTS, ids=[result.kind for result in TEXTS])
def test_texts_stand_below_an_unchanged_image(result: Result) -> None:
    pixels = annotated(grey_image(), result)
    assert pixels.shape[0] > 480 and not changed(pixels[:480]).any()
    assert (pixels[480:] < 128).any()


@pytest.mark.parametrize(
    "box",
    [
        {"x1": 0, "y1": 0, "x2": 640, "y2": 480},
        {"x1": 640, "y1": 480, "x2": 640, "y2": 480},
        {"x1": 0, "y1": 0, "x2": 0, "y2": 0, "label": "a long label that goes beyond the edge"},
        {"x1": 630, "y1": 5, "x2": 640, "y2": 480, "label": "cup \x00 \n 杯"},
    ],
)
def test_boxes_at_the_edge(box: dict[str, Any]) -> None:
    assert annotated(grey_image(), Regions(boxes=(Box(**box),))).shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    medium = grey_image(*size)
    for result in (Regions(boxes=(Box(x1=0, y1=0, x2=1, y2=1, label="cup"),)), Caption(text="small")):
        assert annotated(medium, result).shape[1] == size[0]


def test_content_that_cannot_be_decoded() -> None:
    with pytest.raises(MediaError):
        annotated(Medium(MediumKind.IMAGE, 1, 1, content=b"no image"), Caption(text="a"))
