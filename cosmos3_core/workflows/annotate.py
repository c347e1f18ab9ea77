"""Draws an answer: boxes, points and paths onto an image, spans onto a contact sheet of a video, texts below."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cosmos3_core.media.stills import decode_image
from cosmos3_core.workflows.answers import Regions, Result, Trajectory
from cosmos3_core.workflows.contact_sheet import contact_sheet
from cosmos3_core.workflows.drawing import colour_of, draw_label, font_of, short, stacked, text_panel
from cosmos3_core.workflows.medium import Medium, MediumKind
from cosmos3_core.workflows.summary import summary_lines

MIN_FONT = 12


def annotated(medium: Medium, result: Result) -> NDArray[np.uint8]:
    """A picture of an answer.

    Args:
        medium: what was asked about, with its content.
        result: the answer; its positions are in the pixels of the image.

    Returns:
        RGB uint8 `[height, width, 3]`: the image with what the answer marks, or frames of the video with a time line;
        below it the texts of the answer.

    Raises:
        MediaError: the content cannot be decoded.
    """
    if medium.kind is MediumKind.VIDEO:
        return np.array(contact_sheet(medium, result))
    image = Image.fromarray(decode_image(medium.content, on_white=True))
    if isinstance(result, Regions):
        _draw_regions(image, result)
    elif isinstance(result, Trajectory):
        _draw_trajectory(image, result)
    if _is_drawn_whole(result):
        return np.array(image)
    return np.array(stacked([image, text_panel(summary_lines(result), image.width, _font_size(image))]))


def _is_drawn_whole(result: Result) -> bool:
    """Whether the marks on the image say all that the answer says."""
    if isinstance(result, Trajectory):
        return True
    return isinstance(result, Regions) and bool(result.boxes or result.points) and not _described(result)


def _described(result: Regions) -> bool:
    return any(box.description for box in result.boxes)


def _draw_regions(image: Image.Image, result: Regions) -> None:
    draw, font, width = ImageDraw.Draw(image), font_of(_font_size(image)), _line_width(image)
    for index, box in enumerate(result.boxes):
        draw.rectangle((box.x1, box.y1, box.x2, box.y2), outline=colour_of(index), width=width)
    for index, point in enumerate(result.points, len(result.boxes)):
        draw.circle((point.x, point.y), 2 * width, fill=colour_of(index), outline="white")
    places = [*((box.x1, box.y1, box.label) for box in result.boxes)]
    places += [(point.x + 3 * width, point.y, point.label) for point in result.points]
    for index, (x, y, label) in enumerate(places):
        # The numbers are those of the text below.
        text = f"{index + 1}. {label}" if _described(result) else label
        if text:
            draw_label(image, (x, y), short(text), colour_of(index), font)


def _draw_trajectory(image: Image.Image, result: Trajectory) -> None:
    draw, font, width = ImageDraw.Draw(image), font_of(_font_size(image)), _line_width(image)
    path = [(point.x, point.y) for point in result.points]
    if len(path) > 1:
        draw.line(path, fill=colour_of(0), width=width, joint="curve")
        _draw_arrowhead(draw, path[-2], path[-1], 5 * width)
    for place in path[:-1] or path:
        draw.circle(place, 2 * width, fill=colour_of(1), outline="white")
    for number, point in enumerate(result.points, 1):
        text = f"{number} {point.label}".strip()
        draw_label(image, (point.x + 3 * width, point.y), short(text), colour_of(1), font)


def _draw_arrowhead(
    draw: ImageDraw.ImageDraw, before: tuple[float, float], tip: tuple[float, float], length: float
) -> None:
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
    sides = (angle + math.pi - 0.4, angle + math.pi + 0.4)
    corners = [(tip[0] + length * math.cos(side), tip[1] + length * math.sin(side)) for side in sides]
    draw.polygon([tip, *corners], fill=colour_of(0))


def _line_width(image: Image.Image) -> int:
    return max(round(min(image.size) / 200), 2)


def _font_size(image: Image.Image) -> int:
    return max(round(min(image.size) / 30), MIN_FONT)
