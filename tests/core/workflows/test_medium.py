"""What a file shows is found by its content."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from cosmos3_core.media.checks import MediaError, TooManyPixels
from cosmos3_core.media.stills import encode_image
from cosmos3_core.workflows.medium import MediumKind, read_medium
from tests.core.media.samples import SMALL, flat, mp4, tone


@pytest.mark.parametrize(
    ("name", "sample", "mime_type"),
    [
        ("a.png", "png", "image/png"),
        ("a.JPG", "jpeg", "image/jpeg"),
        ("a", "png", "image/*"),
        # The name lies.
        ("a.mp4", "png", "image/*"),
    ],
)
def test_an_image(name: str, sample: str, mime_type: str, tmp_path: Path) -> None:
    (path := tmp_path / name).write_bytes(SMALL[sample])
    medium = read_medium(path)
    assert (medium.kind, medium.width, medium.height, medium.seconds) == (MediumKind.IMAGE, 64, 48, None)
    assert medium.data_uri == f"data:{mime_type};base64,{base64.b64encode(SMALL[sample]).decode()}"


@pytest.mark.parametrize(
    ("name", "mime_type"), [("a.mp4", "video/mp4"), ("a.mov", "video/quicktime"), ("a.png", "video/mp4")]
)
def test_a_video(name: str, mime_type: str, tmp_path: Path) -> None:
    (path := tmp_path / name).write_bytes(mp4(12, 8, tone(0.5)))
    medium = read_medium(path)
    assert (medium.kind, medium.width, medium.height) == (MediumKind.VIDEO, 64, 48)
    assert medium.seconds == pytest.approx(1.5)
    assert medium.data_uri.startswith(f"data:{mime_type};base64,")


@pytest.mark.parametrize("content", [b"", b"hello", SMALL["png"][:40], SMALL["mp4"][:300]])
def test_what_is_neither(content: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.mp4 cannot be decoded; expected an image .* or a video"):
        read_medium(path)


def test_an_image_that_is_too_large_is_not_taken_for_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmos3_core.media.checks.MAX_PIXELS", 100)
    (path := tmp_path / "a.png").write_bytes(encode_image(flat((0, 0, 0)), "png"))
    with pytest.raises(TooManyPixels):
        read_medium(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_medium(tmp_path / "absent.png")


def test_the_content_is_not_printed(tmp_path: Path) -> None:
    (path := tmp_path / "a.png").write_bytes(SMALL["png"])
    assert "PNG" not in repr(read_medium(path))
