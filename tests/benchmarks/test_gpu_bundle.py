"""The archive for a bare machine with a card: what cannot be had is named, what is not needed is left out."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_bundle.py"
# scripts/ is not a package.
BUNDLE = runpy.run_path(str(SCRIPT))


def test_packages_that_cannot_be_downloaded_are_named(tmp_path: Path) -> None:
    kept = {"fa3-fwd", "typing-inspection"}
    others = [name for name in BUNDLE["PACKAGES"] if name not in kept]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    answer = subprocess.run(
        [sys.executable, str(SCRIPT), "--output", str(tmp_path / "bundle.tar.xz"), "--without", *others],
        env=environment | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 1
    assert "cannot be downloaded: fa3-fwd==0.0.3, typing-inspection==0.4.2; `--without NAME`" in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("diffusers/utils/testing_utils.py", True),
        ("av.libs/libx264.so.164", True),
        ("pydantic-2.12.5.dist-info/METADATA", True),
        ("av/container/core.pyi", False),
        ("package/tests/test_core.py", False),
        ("package/__pycache__/core.cpython-312.pyc", False),
    ],
)
def test_only_what_an_import_needs_is_packed(path: str, wanted: bool) -> None:
    assert BUNDLE["needed"](PurePosixPath(path)) is wanted


def test_equal_trees_make_equal_archives(tmp_path: Path) -> None:
    (tmp_path / "tree" / "package").mkdir(parents=True)
    (tmp_path / "tree" / "package" / "core.py").write_text("VALUE = 1\n")
    archives = [tmp_path / "first", tmp_path / "second"]
    for index, archive in enumerate(archives):
        os.utime(tmp_path / "tree" / "package" / "core.py", (index, index))
        BUNDLE["pack"](tmp_path / "tree", archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()
