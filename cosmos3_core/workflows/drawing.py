"""What pictures of answers are drawn with: colours, labels, panels of text. With Pillow and its own font.

The font has Latin letters; others appear as empty boxes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

COLOURS: tuple[Colour, ...] = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (255, 127, 14),
    (148, 103, 189),
    (23, 190, 207),
    (140, 86, 75),
    (227, 119, 194),
)
BACKGROUND: Colour = (255, 255, 255)
INK: Colour = (32, 32, 32)
MAX_LABEL = 40
"""Characters of a label; longer ones are cut."""
MAX_LINES = 30
"""Lines of a panel of text; what follows is left out."""
MAX_CHARACTERS = 5000
"""Of a line in a panel; what follows is left out."""
PADDING = 4


def font_of(size: int) -> Font:
    """Pillow's own font; the size is in pixels."""
    return ImageFont.load_default(size)


def colour_of(index: int) -> Colour:
    """A colour for the item of a number; they repeat after eight."""
    return COLOURS[index % len(COLOURS)]


def short(text: str, characters: int = MAX_LABEL) -> str:
    """A text on one line, cut to a length."""
    line = " ".join(text.split())
    return line if len(line) <= characters else f"{line[: characters - 3]}..."


def draw_label(image: Image.Image, place: tuple[float, float], text: str, colour: Colour, font: Font) -> None:
    """Draw a text on a patch of colour whose lower left corner is at `place`, moved where it would leave the image."""
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 2 * PADDING, bottom - top + 2 * PADDING
    x = max(min(place[0], image.width - width), 0)
    y = max(min(place[1] - height, image.height - height), 0)
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + PADDING - left, y + PADDING - top), text, fill=BACKGROUND, font=font)


def text_panel(lines: Iterable[str], width: int, size: int) -> Image.Image:
    """Lines of text on white, wrapped to a width in pixels; the height follows."""
    font = font_of(size)
    wrapped = [part for line in lines for part in _wrapped(line, font, width - 4 * PADDING)]
    if len(wrapped) > MAX_LINES:
        wrapped = [*wrapped[: MAX_LINES - 1], "..."]
    step = round(size * 1.4)
    panel = Image.new("RGB", (width, step * len(wrapped) + 4 * PADDING), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    for number, line in enumerate(wrapped):
        draw.text((2 * PADDING, 2 * PADDING + step * number), line, fill=INK, font=font)
    return panel


def _wrapped(line: str, font: Font, width: int) -> list[str]:
    """The line in pieces of at most `width` pixels; words that are longer are divided by their letters."""
    letters = max(int(width / font.getlength("W")), 1)
    pieces = [""]
    for word in line[:MAX_CHARACTERS].split():
        too_long = font.getlength(word) > width
        for part in textwrap.wrap(word, letters, break_on_hyphens=False) if too_long else [word]:
            joined = f"{pieces[-1]} {part}".strip()
            if pieces[-1] and font.getlength(joined) > width:
                pieces.append(part)
            else:
                pieces[-1] = joined
    return pieces


def stacked(pictures: Iterable[Image.Image]) -> Image.Image:
    """Pictures of one width below each other."""
    shown = list(pictures)
    whole = Image.new("RGB", (shown[0].width, sum(picture.height for picture in shown)), BACKGROUND)
    top = 0
    for picture in shown:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole
