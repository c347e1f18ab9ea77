"""The hash by which a record knows a guardrail's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos3_core.guardrails.files import existing, sha256_of
from cosmos3_core.guardrails.verdict import GuardrailError


def test_every_file_and_every_name_counts(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "weights"
    file.write_bytes(b"1")
    hashes = [sha256_of(tmp_path)]
    file.write_bytes(b"2")
    hashes.append(sha256_of(tmp_path))
    file.rename(tmp_path / "below" / "other")
    hashes.append(sha256_of(tmp_path))
    assert len(set(hashes)) == 3
    file.write_bytes(b"1")
    (tmp_path / "below" / "other").unlink()
    assert sha256_of(tmp_path) == hashes[0]


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"1")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "weights").symlink_to(tmp_path / "blob")
    before = sha256_of(folder)
    (tmp_path / "blob").write_bytes(b"2")
    assert sha256_of(folder) != before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert existing(tmp_path, "blocklist") == tmp_path
    with pytest.raises(GuardrailError, match=r"blocklist: there is no .*/nowhere"):
        existing(tmp_path / "nowhere", "blocklist")
