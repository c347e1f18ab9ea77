"""Images of every format, mode and orientation become RGB, and come back from what is encoded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image, encode_image
from tests.core.media.samples import distance, flat, picture, real_files, refuses


def test_real_images_decode(tmp_path: Path) -> None:
    for content in real_files("images", "png", "jpeg", "webp"):
        pixels = decode_image(content)
        assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) and pixels.flags.writeable
        (path := tmp_path / "image").write_bytes(content)
        assert np.array_equal(pixels, decode_image(path)) and np.array_equal(pixels, decode_image(str(path)))


@pytest.mark.parametrize(("name", "error"), [("png", 0), ("jpeg", 6), ("webp", 12)])
def test_image_round_trip(name: Literal["png", "jpeg", "webp"], error: int) -> None:
    content = encode_image(picture(), name)
    assert Image.open(io.BytesIO(content)).format == name.upper()
    assert distance(decode_image(content), picture()) <= error
    assert encode_image(picture(), name) == content
    assert name == "png" or len(encode_image(picture(), name, 20)) < len(content)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif, content = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(content, "PNG", exif=exif)
    mirrored = picture()[:, ::-1] if orientation in (2, 4, 5, 7) else picture()
    turned = np.rot90(mirrored, (0, 0, 2, 2, 1, -1, -1, 1)[orientation - 1])
    assert np.array_equal(decode_image(content.getvalue()), turned)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "I;16B"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    ramp = np.arange(0, 256, 51, dtype=np.uint8)[None].repeat(4, 0)
    image = Image.fromarray(ramp).convert("RGB")
    if mode.startswith("I"):
        image = Image.fromarray((ramp * np.uint16(256) + 77).astype(">u2" if mode == "I;16B" else "<u2"))
    elif mode.endswith("A"):
        image.putalpha(7)
    content = io.BytesIO()
    image.convert(mode).save(content, "TIFF" if mode in ("CMYK", "I;16B") else "PNG")
    # Alpha is dropped, so that it does not darken what it covers.
    assert np.array_equal(decode_image(content.getvalue()), ramp[..., None].repeat(3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_what_is_transparent_is_composited_on_white_when_asked(mode: str) -> None:
    """A dark logo on a transparent ground, which dropping alpha would hide; a grey and a palette picture of it, too."""
    layer = np.zeros((4, 6, 4), np.uint8)
    layer[:, 2:4, 3] = 255
    layer[:, 4:, 3] = 127 if mode != "P" else 0
    content = io.BytesIO()
    image = Image.fromarray(layer)
    if mode == "P":
        image.quantize(4).save(content, "PNG")
    else:
        image.convert(mode).save(content, "TIFF" if mode == "PA" else "PNG")
    shown = decode_image(content.getvalue(), on_white=True)[0, :, 0].tolist()
    assert shown == [255, 255, 0, 0, *[128 if mode != "P" else 255] * 2]
    assert decode_image(content.getvalue()).max() == 0


def test_animation_gives_its_first_image() -> None:
    content, later = io.BytesIO(), Image.fromarray(flat((0, 0, 255)))
    Image.fromarray(flat((255, 0, 0))).save(content, "GIF", save_all=True, append_images=[later])
    assert np.array_equal(decode_image(content.getvalue()), flat((255, 0, 0)))
    assert decode_video(content.getvalue()).frames[:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_encode_image_refuses() -> None:
    for pixels in (picture()[..., 0], picture().astype(np.float32), picture()[:0], picture()[..., :2]):
        refuses(r"use uint8 \(height, width, 3\)", encode_image, pixels, "png")
    refuses("use 'png'", encode_image, picture(), "gif")
    refuses("quality is 0; use 1 to 100", encode_image, picture(), "jpeg", 0)
    refuses("longer side is 20000; use 1 to 16383", encode_image, np.zeros((1, 20_000, 3), np.uint8), "webp")
