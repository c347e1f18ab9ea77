"""Stills and videos by their first bytes, whatever their names say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.signature import SIGNATURE_BYTES, media_kind
from cosmos3_core.media.source import IMAGE_FORMATS
from cosmos3_core.media.stills import decode_image
from tests.core.media.samples import SMALL, distance, flat, picture, refuses
from tests.hostile_files import clip

QUADRANTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def quadrants(side: int) -> np.ndarray:
    top = np.hstack([flat(colour, side, side) for colour in QUADRANTS[:2]])
    return np.vstack([top, np.hstack([flat(colour, side, side) for colour in QUADRANTS[2:]])])


def still(kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(quadrants(64)).save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_stills_are_known_and_whole(kind: str) -> None:
    content = still(kind)
    assert media_kind(content) == media_kind(content[:SIGNATURE_BYTES]) == "image"
    found = decode_image(content)
    assert found.shape == (128, 128, 3)
    for index, colour in enumerate(QUADRANTS):
        row, column = divmod(index, 2)
        assert distance(found[row * 64 + 32, column * 64 + 32], colour) < 60


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "GIF", "WEBP", "TIFF"])
def test_of_a_sequence_the_first_picture_counts(kind: str) -> None:
    others = [Image.fromarray(picture(index, 128, 128)) for index in range(3)]
    content = still(kind, save_all=True, append_images=others)
    assert media_kind(content) == "image"
    assert distance(decode_image(content)[32, 32], QUADRANTS[0]) < 60


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libx264", "mp4"),
        ("libx264", "mov"),
        ("libvpx-vp9", "webm"),
        ("libx264", "matroska"),
        ("mpeg4", "avi"),
        ("mpeg2video", "mpegts"),
        ("mpeg2video", "mpeg"),
        ("flv1", "flv"),
        ("wmv2", "asf"),
        ("libtheora", "ogg"),
    ],
)
def test_videos_are_known(codec: str, container: str) -> None:
    try:
        content = clip(codec, container)
    except ValueError:
        pytest.skip(f"this FFmpeg does not write {codec}")
    assert media_kind(content) == "video"
    assert len(decode_video(content).frames)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(SMALL["png"])
    assert media_kind(path) == "image"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"RIFF\0\0\0\0WAVE", b"%PDF-1.7", b"\0" * 400, b"#EXTM3U\n", b"<svg/>"]
)
def test_nothing_else_is_known(content: bytes) -> None:
    refuses("expected a complete JPEG, PNG", media_kind, content)
