"""A drawn table with three cups, and a clip in which one of them falls: pictures that may stand in documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image

WIDTH, HEIGHT = 480, 320
FPS, SECONDS = 12, 8
FALL_STARTS, FALL_ENDS = 4.0, 5.0
TABLE_TOP = 220
CUPS = {"red": ((200, 40, 40), 30), "blue": ((40, 80, 190), 150), "green": ((40, 150, 70), 310)}
"""Colour of each cup, and where its left side stands in pixels."""
CUP_WIDTH, CUP_HEIGHT = 50, 70


def scene(seconds: float = 0.0) -> NDArray[np.uint8]:
    """The table at a time of the clip, uint8 `[320, 480, 3]`: the green cup slides to the edge, then falls."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (225, 228, 232))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, TABLE_TOP, 400, TABLE_TOP + 18), fill=(150, 110, 70))
    draw.rectangle((30, TABLE_TOP + 18, 46, HEIGHT), fill=(120, 85, 55))
    draw.rectangle((350, TABLE_TOP + 18, 366, HEIGHT), fill=(120, 85, 55))
    for name, (colour, left) in CUPS.items():
        x, y = _moved(seconds) if name == "green" else (0.0, 0.0)
        _draw_cup(draw, left + x, TABLE_TOP - CUP_HEIGHT + y, colour)
    return np.array(image)


def picture_file(folder: Path) -> Path:
    """The table as a PNG file in a folder."""
    path = folder / "table.png"
    path.write_bytes(encode_image(scene(), "png"))
    return path


def clip_file(folder: Path) -> Path:
    """The clip of eight seconds as an MP4 file in a folder."""
    path = folder / "table.mp4"
    encode_mp4(path, (scene(index / FPS) for index in range(FPS * SECONDS)), FPS)
    return path


def _moved(seconds: float) -> tuple[float, float]:
    """How far the green cup has moved to the right and down, in pixels."""
    slid = min(max(seconds - 2.0, 0.0) / (FALL_STARTS - 2.0), 1.0)
    fallen = min(max(seconds - FALL_STARTS, 0.0) / (FALL_ENDS - FALL_STARTS), 1.0)
    return 80.0 * slid + 25.0 * min(4.0 * fallen, 1.0), (HEIGHT - TABLE_TOP) * fallen**2


def _draw_cup(draw: ImageDraw.ImageDraw, left: float, top: float, colour: tuple[int, int, int]) -> None:
    right, bottom = left + CUP_WIDTH, top + CUP_HEIGHT
    draw.ellipse((right - 8, top + 15, right + 16, top + 48), outline=colour, width=6)
    draw.polygon([(left, top), (right, top), (right - 6, bottom), (left + 6, bottom)], fill=colour)
    draw.ellipse((left, top - 6, right, top + 6), fill=tuple(value // 2 for value in colour))
