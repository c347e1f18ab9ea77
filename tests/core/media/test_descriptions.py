"""What describes a picture and cannot be read, or is long, refuses no picture whose pixels are good."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.stills import decode_image
from tests.core.media.samples import picture, refuses
from tests.hostile_files import chunk

PIXELS = picture()
LONG = zlib.compress(bytes(80_000_000), 9)
# An orientation of 6: what was stored upright is shown turned by 90 degrees.
TURNED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def saved(kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(PIXELS).save(target, kind, **options)
    return target.getvalue()


def with_chunk(added: bytes, *, behind: bool = False) -> bytes:
    """The picture as PNG with a chunk before or behind its pixels."""
    content = saved("PNG")
    place = content.index(b"IEND" if behind else b"IDAT") - 4
    return content[:place] + added + content[place:]


LONG_CHUNKS = {
    "iCCP": chunk(b"iCCP", b"profile\0\0" + LONG),
    "zTXt": chunk(b"zTXt", b"comment\0\0" + LONG),
    "iTXt": chunk(b"iTXt", b"comment\0\x01\0\0\0" + LONG),
    "tEXt": chunk(b"tEXt", b"comment\0" + b"x" * 80_000_000),
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("name", LONG_CHUNKS)
def test_long_descriptions(name: str, behind: bool) -> None:
    assert np.array_equal(decode_image(with_chunk(LONG_CHUNKS[name], behind=behind)), PIXELS)


def test_many_descriptions() -> None:
    one = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(900_000), 9))
    assert np.array_equal(decode_image(with_chunk(one * 100)), PIXELS)


def test_an_orientation_beside_a_long_comment() -> None:
    added = chunk(b"eXIf", TURNED[6:]) + LONG_CHUNKS["zTXt"]
    assert decode_image(with_chunk(added)).shape == (64, 48, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0XX*\0\x08\0\0\0",
        TURNED[:20],
        TURNED.replace(b"\x06\0\0\0", b"\x63\0\0\0"),
        TURNED.replace(b"\x03\0\x01", b"\x02\0\x09"),
    ],
)
def test_broken_exif(kind: str, exif: bytes) -> None:
    try:
        found = decode_image(saved(kind, exif=exif, lossless=True))
    except (OSError, SyntaxError, struct.error) as error:
        if isinstance(error, MediaError):
            raise
        # Pillow does not write it, so it is written into a file that was complete.
        found = decode_image(_spliced(saved(kind, exif=TURNED, lossless=True), exif))
    # HEIF says how a picture is turned in a box of its own, too.
    assert PIXELS.shape in (found.shape, (found.shape[1], found.shape[0], 3))


def _spliced(content: bytes, exif: bytes) -> bytes:
    """A file in which other bytes of the same length stand for `TURNED`."""
    own = TURNED[6:]
    assert own in content
    return content.replace(own, exif[6:].ljust(len(own), b"\0")[: len(own)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_is_still_applied(kind: str) -> None:
    content = saved(kind, exif=TURNED, lossless=True)
    assert decode_image(content).shape == (64, 48, 3)
    if kind != "JPEG":
        assert np.array_equal(decode_image(content), np.rot90(PIXELS, 3))


@pytest.mark.parametrize("profile", [b"", b"x", bytes(4_000_000), b"\xff" * 128])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colour_profiles_of_any_kind(kind: str, profile: bytes) -> None:
    found = decode_image(saved(kind, icc_profile=profile, lossless=True))
    assert found.shape == PIXELS.shape
    if kind != "JPEG":
        assert np.array_equal(found, PIXELS)


def test_a_damaged_picture_is_refused_with_or_without_descriptions() -> None:
    content = with_chunk(LONG_CHUNKS["zTXt"])
    damaged = bytearray(content)
    damaged[content.index(b"IDAT") + 30] ^= 0xFF
    refuses("cannot decode image", decode_image, bytes(damaged))
    refuses("cannot decode image", decode_image, content[: content.index(b"IDAT") + 40])


def test_no_refusal_shows_an_address() -> None:
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n", saved("JPEG")[:20], b"RIFF\0\0\0\0WEBPVP8 "):
        with pytest.raises(ValueError) as caught:
            decode_image(content)
        assert "0x" not in str(caught.value) and "BytesIO" not in str(caught.value)
