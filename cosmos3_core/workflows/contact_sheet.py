"""Frames of a video side by side, with the time line of its spans below."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from cosmos3_core.media.clips import frames_at
from cosmos3_core.workflows.answers import Result, Span, Spans
from cosmos3_core.workflows.drawing import (
    BACKGROUND,
    INK,
    Colour,
    colour_of,
    draw_label,
    font_of,
    short,
    stacked,
    text_panel,
)
from cosmos3_core.workflows.medium import Medium
from cosmos3_core.workflows.summary import summary_lines
from cosmos3_core.workflows.times import clock

COLUMNS = 4
MAX_FRAMES = 8
MAX_ROWS = 12
"""Spans on the time line; later ones are only counted."""
TILE_WIDTH, GAP = 240, 6
MAX_TILE_HEIGHT = 3 * TILE_WIDTH
WIDTH = COLUMNS * TILE_WIDTH + (COLUMNS + 1) * GAP
FONT, MARGIN, ROW = 14, 70, 22
"""Sizes in pixels: text, the space left and right of the time line, the height of a span on it."""


def contact_sheet(medium: Medium, result: Result) -> Image.Image:
    """Draw an answer about a video.

    Args:
        medium: the video, with its content and its length.
        result: the answer. Of spans, each of the first eight has the frame at its start, in the colour of its bar on
            the time line; of any other answer eight frames spread over the video are shown, and its text.

    Raises:
        MediaError: the content cannot be decoded.
    """
    length = medium.seconds or 0.0
    if isinstance(result, Spans) and result.spans:
        spans = sorted(result.spans, key=lambda span: span.start)
        labels = [short(f"{clock(span.start)} {span.label}", 30) for span in spans[:MAX_FRAMES]]
        colours = [colour_of(index) for index in range(len(labels))]
        tiles = _tiles(medium, [span.start for span in spans[:MAX_FRAMES]], labels, colours)
        return stacked([tiles, time_line(spans, length)])
    times = [length * (index + 0.5) / MAX_FRAMES for index in range(MAX_FRAMES)]
    tiles = _tiles(medium, times, [clock(time) for time in times], [INK] * MAX_FRAMES)
    return stacked([tiles, text_panel(summary_lines(result), WIDTH, FONT)])


def time_line(spans: Sequence[Span], length: float) -> Image.Image:
    """A bar for each span, below each other, over the length of the video in seconds."""
    shown = spans[:MAX_ROWS]
    left_out = len(spans) - len(shown)
    height = ROW * (len(shown) + 1 + bool(left_out)) + 2 * GAP
    image = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw, font = ImageDraw.Draw(image), font_of(FONT)
    for index, span in enumerate(shown):
        top = GAP + ROW * index
        left, right = (position_of(time, length) for time in (span.start, span.end))
        draw.line((MARGIN, top + ROW / 2, WIDTH - MARGIN, top + ROW / 2), fill=(210, 210, 210))
        draw.rectangle((left, top + 3, max(right, left + 2), top + ROW - 4), fill=colour_of(index))
        # Beside the bar, on the side with more room.
        anchor, x = ("lm", right + GAP) if WIDTH - right > left else ("rm", left - GAP)
        text = short(f"{clock(span.start)} to {clock(span.end)} {span.label}".strip(), 60)
        draw.text((x, top + ROW / 2), text, fill=INK, font=font, anchor=anchor)
    bottom = GAP + ROW * len(shown)
    if left_out:
        draw.text((MARGIN, bottom), f"and {left_out} more", fill=INK, font=font)
        bottom += ROW
    draw.text((MARGIN - GAP, bottom), clock(0), fill=INK, font=font, anchor="ra")
    draw.line((MARGIN, bottom + ROW / 2, WIDTH - MARGIN, bottom + ROW / 2), fill=INK)
    draw.text((WIDTH - MARGIN + GAP, bottom), clock(length), fill=INK, font=font)
    return image


def position_of(time: float, length: float) -> float:
    """Where a time lies on the time line, in pixels from the left."""
    part = min(max(time / length, 0.0), 1.0) if length > 0 else 0.0
    return MARGIN + part * (WIDTH - 2 * MARGIN)


def _tiles(medium: Medium, times: list[float], labels: Sequence[str], colours: Sequence[Colour]) -> Image.Image:
    frames = frames_at(medium.content, times).frames
    tile_height = min(max(round(TILE_WIDTH * frames.shape[1] / frames.shape[2]), 1), MAX_TILE_HEIGHT)
    rows = -(-len(times) // COLUMNS)
    image = Image.new("RGB", (WIDTH, rows * (tile_height + GAP) + GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(image), font_of(FONT)
    for index, (frame, label, colour) in enumerate(zip(frames, labels, colours, strict=True)):
        row, column = divmod(index, COLUMNS)
        x, y = GAP + column * (TILE_WIDTH + GAP), GAP + row * (tile_height + GAP)
        tile = Image.fromarray(frame).resize((TILE_WIDTH, tile_height), Image.Resampling.LANCZOS)
        image.paste(tile, (x, y))
        draw.rectangle((x, y, x + TILE_WIDTH - 1, y + tile_height - 1), outline=colour, width=3)
        draw_label(image, (x, y + tile_height), label, colour, font)
    return image
