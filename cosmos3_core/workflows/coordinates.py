"""Boxes and points in JSON: from 0 to 1000 along each side of the image to pixels of it (spec 10.7)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cosmos3_core.workflows.answers import Box, Point
from cosmos3_core.workflows.json_in_text import text_of

SCALE = 1000.0
"""The coordinate of the far edge of the image."""
BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box", "bounding_box")
POINT_KEYS = ("point_2d", "point", "points_2d", "points", "coordinates")
LABEL_KEYS = ("label", "name", "object", "category")
DESCRIPTION_KEYS = ("description", "caption", "text")
_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?")
_SEPARATORS = re.compile(r"[\s,()\[\]]*")


@dataclass(frozen=True)
class PixelGrid:
    """The image that coordinates belong to: width and height in pixels."""

    width: int
    height: int

    def box(self, corners: Sequence[float], label: str = "", description: str = "") -> Box:
        """A box from x1, y1, x2, y2 in 0 to 1000; corners may be any two opposite ones."""
        x1, x2 = sorted(_pixels(value, self.width) for value in corners[::2])
        y1, y2 = sorted(_pixels(value, self.height) for value in corners[1::2])
        return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=label, description=description)

    def point(self, place: Sequence[float], label: str = "") -> Point:
        """A point from x, y in 0 to 1000."""
        return Point(x=_pixels(place[0], self.width), y=_pixels(place[1], self.height), label=label)


def boxes_of(name: str, value: Any, grid: PixelGrid) -> list[Box]:
    """The boxes of one JSON value: an object with a box, or four numbers under a key that is their label."""
    if isinstance(value, list):
        numbers = _numbers(value, 4)
        label = "" if name in (*BOX_KEYS, *POINT_KEYS) else name
        return [] if numbers is None else [grid.box(numbers, label)]
    if not isinstance(value, dict):
        return []
    corners = [found for key in BOX_KEYS if key in value for found in _boxes(value[key])] or _corners(value)
    label, description = text_of(value, LABEL_KEYS), text_of(value, DESCRIPTION_KEYS)
    return [grid.box(found, label, description) for found in corners]


def points_of(value: Any, grid: PixelGrid) -> list[Point]:
    """The points of one JSON object, in order; none where it is no object or has none."""
    if not isinstance(value, dict):
        return []
    places = [found for key in POINT_KEYS if key in value for found in places_of(value[key])] or places_of(value)
    return [grid.point(place, text_of(value, (*LABEL_KEYS, *DESCRIPTION_KEYS))) for place in places]


def places_of(value: Any) -> list[Sequence[float]]:
    """The places that a value holds: x and y as a list, a text or an object, or a list of these."""
    place = _numbers([value.get("x"), value.get("y")] if isinstance(value, dict) else value, 2)
    if place is not None:
        return [place]
    if not isinstance(value, list):
        return []
    places = [found for inner in value if not _is_nested(inner) for found in places_of(inner)]
    return places if len(places) == len(value) else []


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(inner, (list, dict)) for inner in value)


def _boxes(value: Any) -> list[Sequence[float]]:
    """The boxes under a key that names boxes: one in any notation, or a list of them."""
    one = _corners(value)
    if one or not isinstance(value, list):
        return one
    return [found for inner in value for found in _corners(inner)]


def _corners(value: Any) -> list[Sequence[float]]:
    """One box in any notation, as a list of at most one."""
    if isinstance(value, dict):
        found = [_numbers([value.get(key) for key in keys], 4) for keys in _CORNERS]
        boxes: list[Sequence[float]] = [numbers for numbers in found if numbers is not None]
        return boxes[:1]
    if isinstance(value, list) and len(value) == 2:
        pairs = [_numbers(inner, 2) for inner in value]
        joined: Sequence[float] = [number for pair in pairs if pair is not None for number in pair]
        return [joined] if len(joined) == 4 else []
    numbers = _numbers(value, 4)
    return [] if numbers is None else [numbers]


def _numbers(value: Any, count: int) -> list[float] | None:
    """Exactly `count` finite numbers from a list, or from a text such as `10, 20`."""
    if isinstance(value, str):
        if _SEPARATORS.fullmatch(_NUMBER.sub("", value)) is None:
            return None
        value = _NUMBER.findall(value)
    if not isinstance(value, list) or len(value) != count:
        return None
    numbers = [_number(inner) for inner in value]
    return None if None in numbers else [number for number in numbers if number is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _pixels(value: float, length: int) -> float:
    """A coordinate in pixels, to a tenth; what lies outside the image is moved to its edge."""
    return round(min(max(value, 0.0), SCALE) / SCALE * length, 1)
