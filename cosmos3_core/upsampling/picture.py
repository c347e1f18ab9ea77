"""The picture that a Reasoner sees when it writes a prompt for a video that starts with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.geometry import Canvas, fit_inside
from cosmos3_core.media.source import Source
from cosmos3_core.media.stills import decode_image


def picture_for_chat(source: Source, canvas: Canvas) -> NDArray[np.uint8]:
    """A picture, no larger than the video that starts with it, RGB uint8 `[height, width, 3]`.

    More pixels are only more tokens.

    Raises:
        MediaError: it cannot be read.
    """
    pixels = decode_image(source, on_white=True)
    height, width, _ = pixels.shape
    fitted = fit_inside(canvas, width, height)
    if (fitted.width, fitted.height) == (width, height):
        return pixels
    size = (fitted.width, fitted.height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
