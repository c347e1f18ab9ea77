"""Stills from files to RGB arrays (uint8, height before width) and back, with Pillow.

Sizes are checked before pixels are decoded. Pixels come as stored: no ICC profile is applied.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cosmos3_core.media.checks import DEFAULT_QUALITY, MediaError, check_frame, check_range, check_size
from cosmos3_core.media.source import IMAGE_FORMATS, Source, opened


def decode_image(source: Source, *, on_white: bool = False) -> NDArray[np.uint8]:
    """Decode a still, or an animation's first frame: JPEG, PNG, WEBP, BMP, GIF, TIFF to RGB uint8 [H, W, 3].

    EXIF orientation is applied. Grey, palette and CMYK are converted; 16-bit samples keep their upper 8 bits.

    Args:
        source: path, encoded bytes or a stream.
        on_white: composite what is transparent on white, as vLLM does; otherwise alpha is dropped, as diffusers does.

    Raises:
        MediaError: unreadable, empty, corrupt, of another format, or above `MAX_PIXELS`.
    """
    with opened("image", source) as stream, Image.open(stream, formats=IMAGE_FORMATS) as image:
        return pixels_of(image, on_white=on_white)


def pixels_of(image: Image.Image, *, on_white: bool = False) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of an opened Pillow image, upright; see `decode_image`.

    Raises:
        MediaError: above `MAX_PIXELS`.
        OSError: damaged.
    """
    check_size(image.width, image.height)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        # Pillow warns when it converts a palette with transparency to RGB at once.
        upright = upright.convert("RGBA")
        if on_white:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    if not upright.mode.startswith("I;16"):
        return np.array(upright.convert("RGB"))
    # Pillow's own conversion clips 16-bit grey at 255, which leaves a white picture.
    grey = (np.asarray(upright) >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def encode_image(
    pixels: NDArray[np.uint8], format: Literal["png", "jpeg", "webp"], quality: int = DEFAULT_QUALITY
) -> bytes:
    """Encode a still.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        format: PNG is lossless; JPEG is written without chroma subsampling.
        quality: 1 to 100, for JPEG and WEBP; PNG ignores it.

    Raises:
        MediaError: wrong shape, dtype, format or quality, or more pixels a side than the format allows.
    """
    check_frame(pixels, "pixels")
    check_range("quality", quality, 1, 100)
    longest = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
    if format not in longest:
        raise MediaError(f"format is {format!r}; use 'png', 'jpeg' or 'webp'")
    check_range("the longer side", max(pixels.shape), 1, longest[format])
    content = io.BytesIO()
    # Pillow ignores settings that a format does not have.
    Image.fromarray(pixels).save(content, format, quality=quality, subsampling=0)
    return content.getvalue()
