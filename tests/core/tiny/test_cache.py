"""Tiny checkpoints in the cache folder: written once, found without the libraries that write them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos3_core.tiny.cache import CACHE_VERSION, TINY_NAMES, cached_checkpoint

FIND = """
import sys
from cosmos3_core.tiny.cache import cached_checkpoint
print(cached_checkpoint("nano"), [name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cosmos3"


def test_an_absent_checkpoint_is_written_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Path, str]] = []

    def write(out: Path, member: str) -> None:
        written.append((out, member))
        out.mkdir()
        (out / "model_index.json").touch()

    monkeypatch.setattr("cosmos3_core.tiny.checkpoint.write_checkpoint", write)
    for name in ("tiny:nano", "tiny:nano", "tiny:image2video-4step", "tiny:image2video-4step"):
        assert cached_checkpoint(TINY_NAMES[name]).parent == cache
    assert [member for _, member in written] == ["nano", "image2video-4step"]
    assert [out for out, _ in written] == [cached_checkpoint("nano"), cached_checkpoint("image2video-4step")]


def test_a_checkpoint_that_is_there_needs_no_model_library(cache: Path, nano: Path) -> None:
    cache.mkdir()
    cached = cache / f"tiny-nano-{CACHE_VERSION}"
    cached.symlink_to(nano)
    done = subprocess.run(
        [sys.executable, "-c", FIND], env=dict(os.environ), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split(maxsplit=1) == [str(cached), "[]\n"]
