"""Results as files: names that fit the mode, whole files only, actions beside the media."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.modes import Mode
from cosmos3_core.outputs import (
    action_object,
    check_image_output,
    check_output,
    check_writable,
    write_files,
    write_image,
)

PICTURE = np.full((16, 32, 3), (200, 60, 50), np.uint8)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", Mode.TEXT_TO_IMAGE), ("a.JPG", Mode.TEXT_TO_IMAGE), ("a.mp4", Mode.TEXT_TO_VIDEO)]
)
def test_a_name_that_fits_the_mode_is_accepted(tmp_path: Path, name: str, mode: Mode) -> None:
    check_output(tmp_path / name, mode)


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("a.mp4", Mode.TEXT_TO_IMAGE, "output is 'a.mp4'; .* is written as .png, .jpg, .jpeg, .webp"),
        ("a.png", Mode.TEXT_TO_VIDEO, "output is 'a.png'; .* is written as .mp4"),
        (
            "missing/a.png",
            Mode.TEXT_TO_IMAGE,
            "output is .*; expected a file in an existing folder that can be written to",
        ),
    ],
)
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: str, mode: Mode, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_output(tmp_path / name, mode)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="manifest is "):
        check_writable(tmp_path, "manifest")


def test_a_picture_is_written_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    content = encode_image(PICTURE, "png")
    assert write_files(tmp_path / "a.png", content, None) == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").read_bytes() == content
    write_files(tmp_path / "a.webp", content, None)
    assert (tmp_path / "a.webp").read_bytes()[8:12] == b"WEBP"
    assert np.abs(decode_image(tmp_path / "a.webp").astype(int) - PICTURE).max() <= 4


def test_actions_are_written_beside_the_video(tmp_path: Path) -> None:
    action = action_object(np.ones((2, 3), np.float32), "policy", 7)
    assert action["shape"] == [2, 3] and action["raw_action_dim"] == 3 and action["domain_id"] == 7
    written = write_files(tmp_path / "clip.mp4", b"video", action)
    assert written == [tmp_path / "clip.mp4", tmp_path / "clip.action.json"]
    assert json.loads(written[1].read_text()) == action
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.action.json", "clip.mp4"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_a_picture_is_written_as_its_name_says(tmp_path: Path, name: str) -> None:
    check_image_output(tmp_path / name, "annotate")
    write_image(tmp_path / name, PICTURE)
    assert np.abs(decode_image(tmp_path / name).astype(int) - PICTURE).max() <= 4
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.mp4", "annotate is 'a.mp4'; pictures are written as .png, .jpg, .jpeg, .webp"),
        ("a", "annotate is 'a'; pictures are written as"),
        ("missing/a.png", "annotate is .*; expected a file in an existing folder"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_image_output(tmp_path / name, "annotate")
