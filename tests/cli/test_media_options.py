"""The options that name media: controls with files and weights, and files of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from deployments.cli.media_options import GivenMedia, option_of, read_rows, with_media


def controls_of(*options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = GivenMedia.of_options(None, None, None, options).fields()["controls"]
    return found


@pytest.mark.parametrize(
    ("option", "control"),
    [
        ("edge", {"kind": "edge", "video": None}),
        ("blur:0.5", {"kind": "blur", "weight": 0.5, "video": None}),
        ("depth=a.mp4", {"kind": "depth", "video": Path("a.mp4")}),
        ("seg=a.mp4:2", {"kind": "seg", "weight": 2.0, "video": Path("a.mp4")}),
        ("wsm=c:/a.mp4", {"kind": "wsm", "video": Path("c:/a.mp4")}),
        ("wsm=c:/a.mp4:1e-1", {"kind": "wsm", "weight": 0.1, "video": Path("c:/a.mp4")}),
        ("edge=a=b.mp4", {"kind": "edge", "video": Path("a=b.mp4")}),
        ("edge=12", {"kind": "edge", "video": Path("12")}),
    ],
)
def test_a_control(option: str, control: dict[str, Any]) -> None:
    assert controls_of(option) == [control]


def test_several_controls_and_other_media() -> None:
    media = GivenMedia.of_options(None, Path("v.mp4"), Path("s.wav"), ["edge", "depth=d.mp4:0.5"])
    assert media.fields() == {
        "video": Path("v.mp4"),
        "sound": Path("s.wav"),
        "controls": [{"kind": "edge", "video": None}, {"kind": "depth", "weight": 0.5, "video": Path("d.mp4")}],
    }
    assert GivenMedia.of_options(None, None, None, []).fields() == {}


@pytest.mark.parametrize(
    "option", ["pose", "pose=a.mp4", "", "=a.mp4", "edge=", "edge=:2", "edge:much", "edge:2=a.mp4"]
)
def test_what_is_no_control(option: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected") as refused:
        controls_of(option)
    assert refused.value.param_hint == "--control"


def test_media_go_where_they_belong() -> None:
    said = {"prompt": "x", "controls": [{"kind": "edge", "weight": 2}, {"kind": "seg"}]}
    files = {"image": Path("i.png"), "control_seg": Path("s.mp4")}
    assert with_media(said, files) == {
        "prompt": "x",
        "image": Path("i.png"),
        "controls": [{"kind": "edge", "weight": 2, "video": None}, {"kind": "seg", "video": Path("s.mp4")}],
    }
    assert with_media({"prompt": "x"}, {}) == {"prompt": "x"}


def test_the_options_of_media() -> None:
    assert [option_of(name) for name in ("image", "sound", "control_wsm")] == [
        "--image",
        "--soundtrack",
        "--control wsm=FILE",
    ]


def test_rows_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text, rows in {
        "[[1, 2], [3, 4]]": [[1, 2], [3, 4]],
        "[1, 2]": [[1, 2]],
        "[]": [],
        '{"a": 1}': {"a": 1},
    }.items():
        path.write_text(text)
        assert read_rows(path, "--state") == rows


@pytest.mark.parametrize(("content", "says"), [(None, "cannot read"), (b"[1,", "is no JSON"), (b"\xff", "is no JSON")])
def test_files_that_hold_no_rows(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(typer.BadParameter, match=says) as refused:
        read_rows(path, "--state")
    assert refused.value.param_hint == "--state"
