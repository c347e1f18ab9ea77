"""Stills from files to RGB arrays (uint8, height before width) and back, with Pillow.

Sizes are checked before pixels are decoded. Pixels come as stored: no ICC profile is applied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from cosmos3_core.media import checks
from cosmos3_core.media.allowance import announce
from cosmos3_core.media.checks import DEFAULT_QUALITY, MediaError, check_frame, check_range, check_size
from cosmos3_core.media.png_chunks import without_descriptions
from cosmos3_core.media.source import IMAGE_FORMATS, Source, opened

# How a picture is turned upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What libjpeg can divide the sides of a picture by while it decodes.
_REDUCTIONS = (2, 4, 8)


def decode_image(source: Source, *, on_white: bool = False) -> NDArray[np.uint8]:
    """Decode a still, or an animation's first frame, to RGB uint8 [H, W, 3]: the formats of `source.IMAGE_FORMATS`.

    EXIF orientation is applied; descriptions of the picture that cannot be read are ignored. Grey, palette and CMYK
    are converted; 16-bit samples keep their upper 8 bits. A JPEG above `MAX_PIXELS` comes at a reduced size.

    Args:
        source: path, encoded bytes or a stream.
        on_white: composite what is transparent on white, as vLLM does; otherwise alpha is dropped, as diffusers does.

    Raises:
        MediaError: unreadable, empty, corrupt, of another format, or above its limit of pixels.
    """
    with opened("image", source) as stream, _image(stream) as image:
        return pixels_of(image, on_white=on_white)


@contextmanager
def _image(stream: IO[bytes]) -> Iterator[Image.Image]:
    """The image in a stream, decoded."""
    try:
        image = _decoded(stream)
    except ValueError:
        # Pillow refuses a PNG file for a long comment or colour profile, before or behind its pixels.
        plain = without_descriptions(stream)
        if plain is None:
            raise
        image = _decoded(plain)
    with image:
        yield image


def _decoded(stream: IO[bytes]) -> Image.Image:
    image = Image.open(stream, formats=IMAGE_FORMATS)
    _reduce(image)
    announce(image.width * image.height)
    image.load()
    return image


def _reduce(image: Image.Image) -> None:
    """Have a large JPEG decoded at a reduced size; refuse other large images.

    Raises:
        TooManyPixels: it is too large even so.
    """
    width, height = image.size
    # Pillow calls a JPEG file with further pictures MPO: phones add smaller ones and maps of brightness.
    if image.format in ("JPEG", "MPO"):
        check_size(width, height, checks.MAX_REDUCIBLE_PIXELS)
        for divisor in _REDUCTIONS:
            if image.width * image.height > checks.MAX_PIXELS:
                image.draft(None, (width // divisor, height // divisor))
    check_size(image.width, image.height)


def pixels_of(image: Image.Image, *, on_white: bool = False) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of an opened Pillow image, upright; see `decode_image`.

    Raises:
        MediaError: above `MAX_PIXELS`.
        OSError: damaged.
    """
    check_size(image.width, image.height)
    turn = _TURNS.get(_orientation(image))
    upright = image if turn is None else image.transpose(turn)
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


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of a picture, from 1 (upright) to 8; 1 where it cannot be read."""
    # A parser of other people's bytes fails in many ways, and none of them makes the pixels wrong.
    with suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


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
