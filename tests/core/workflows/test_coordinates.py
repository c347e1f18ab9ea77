"""Boxes and points in any notation, in pixels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.workflows.answers import Box, Point
from cosmos3_core.workflows.coordinates import PixelGrid, boxes_of, places_of, points_of

GRID = PixelGrid(640, 480)
BOX = Box(x1=64, y1=96, x2=320, y2=240, label="cup")
CORNERS = [100, 200, 500, 500]
numbers = st.integers() | st.floats()


@pytest.mark.parametrize(
    "value",
    [
        {"bbox_2d": CORNERS, "label": "cup"},
        {"bbox_2d": [100.0, 200.0, 500.0, 5e2], "label": " cup "},
        {"bbox_2d": ["100", "200", "500", " 500 "], "label": "cup"},
        {"bbox_2d": "100, 200, 500, 500", "label": "cup"},
        {"bbox_2d": "[100 200 500.0 500]", "label": "cup"},
        {"bbox_2d": "(100, 200), (500, 500)", "label": "cup"},
        {"bbox_2d": [[100, 200], [500, 500]], "label": "cup"},
        {"bbox_2d": [CORNERS], "label": "cup"},
        {"bbox_2d": {"x1": 100, "y1": 200, "x2": 500, "y2": 500}, "label": "cup"},
        {"bbox": {"xmin": 100, "ymin": 200, "xmax": 500, "ymax": 500}, "name": "cup"},
        {"box": {"x_min": 100, "y_min": 200, "x_max": 500, "y_max": 500}, "object": "cup"},
        {"bounding_box": {"left": 100, "top": 200, "right": 500, "bottom": 500}, "category": "cup"},
        {"x1": 100, "y1": 200, "x2": 500, "y2": 500, "label": "cup"},
        {"bbox_2d": [500, 500, 100, 200], "label": "cup"},
        {"bbox_2d": [500, 200, 100, 500], "label": "cup"},
    ],
)
def test_notations_of_a_box(value: dict[str, Any]) -> None:
    assert boxes_of("", value, GRID) == [BOX]


def test_several_boxes_of_one_label() -> None:
    found = boxes_of("", {"bbox_2d": [CORNERS, [0, 0, 1000, 1000]], "label": "cup"}, GRID)
    assert found == [BOX, Box(x1=0, y1=0, x2=640, y2=480, label="cup")]


def test_a_key_may_be_the_label() -> None:
    assert boxes_of("cup", CORNERS, GRID) == [BOX]
    assert boxes_of("bbox_2d", CORNERS, GRID) == [BOX.model_copy(update={"label": ""})]


def test_a_description() -> None:
    value = {"bbox_2d": CORNERS, "label": "cup", "description": "It is red."}
    assert boxes_of("", value, GRID) == [BOX.model_copy(update={"description": "It is red."})]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        "100, 200, 500, 500",
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [True, 2, 3, 4],
        [1, 2, 3, None],
        [1, 2, 3, float("nan")],
        [1, 2, 3, float("inf")],
        [1, 2, 3, 10**400],
        {"bbox_2d": "around the cup"},
        {"bbox_2d": "100, 200, 500"},
        {"bbox_2d": "100, 200, 500, 1e3"},
        {"bbox_2d": {"x1": 1, "y1": 2, "x2": 3}},
        {"bbox_2d": [[1, 2], [3]]},
        {"bbox_2d": "9" * 5000},
        {"label": "cup"},
    ],
)
def test_what_is_no_box(value: Any) -> None:
    assert boxes_of("", value, GRID) == []


@given(st.lists(numbers, min_size=4, max_size=4))
def test_a_box_lies_in_the_image(corners: list[float]) -> None:
    for box in boxes_of("", corners, GRID):
        assert 0 <= box.x1 <= box.x2 <= 640 and 0 <= box.y1 <= box.y2 <= 480


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_coordinates_become_pixels(x: int, y: int) -> None:
    point = GRID.point([x, y])
    assert abs(point.x - x * 0.64) <= 0.05 and abs(point.y - y * 0.48) <= 0.05


@pytest.mark.parametrize(
    "value",
    [
        {"point_2d": [500, 250], "label": "cup"},
        {"point_2d": ["500", "250"], "label": "cup"},
        {"point_2d": "500, 250", "label": "cup"},
        {"point_2d": "(500, 250)", "label": "cup"},
        {"point_2d": {"x": 500, "y": 250}, "label": "cup"},
        {"point": [[500, 250]], "name": "cup"},
        {"x": 500, "y": 250.0, "label": "cup"},
    ],
)
def test_notations_of_a_point(value: dict[str, Any]) -> None:
    assert points_of(value, GRID) == [Point(x=320, y=120, label="cup")]


def test_several_points_keep_their_order() -> None:
    value = {"points": [[0, 0], {"x": 1000, "y": 1000}, "500, 500"], "label": "path"}
    assert [(point.x, point.y) for point in points_of(value, GRID)] == [(0, 0), (640, 480), (320, 240)]


@pytest.mark.parametrize(
    "value",
    [None, 7, "5, 5", [5, 5], {"point_2d": [1, 2, 3]}, {"point_2d": None}, {"x": 1}, {"points": [[1, 2], [3]]}],
)
def test_what_is_no_point(value: Any) -> None:
    assert points_of(value, GRID) == []


def test_lists_of_lists_of_places_are_none() -> None:
    assert places_of([[[1, 2], [3, 4]]]) == []
