"""Media in folders and in fsspec's file system in memory."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from deployments.wire.media_store import MediaStore, delete_media, local_path, read_media, write_media

IN_PLACE = "write_media closes fsspec's file after an error, which keeps what was written; upload a finished local file"
ONE_PARTIAL = "two writers of one URI share <path>.partial; name it after the writer"


class Broken(Exception):
    """What a writer raises."""


@pytest.fixture
def memory() -> Iterator[str]:
    """URL of a folder in memory, of its own for each test."""
    folder = f"memory://{uuid.uuid4().hex}"
    yield folder
    system, path = fsspec.core.url_to_fs(folder)
    if system.exists(path):
        system.rm(path, recursive=True)


@pytest.fixture(params=["plain", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, memory: str) -> MediaStore:
    return MediaStore({"plain": str(tmp_path), "file": f"file://{tmp_path}", "memory": memory}[request.param])


def breaks(target: BinaryIO) -> None:
    target.write(b"half of ")
    raise Broken


def there(uri: str) -> bool:
    system, path = fsspec.core.url_to_fs(uri)
    return bool(system.exists(path))


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("content", [b"", b"content", bytes(range(256)) * 5000])
def test_bytes_come_back(store: MediaStore, content: bytes) -> None:
    uri = store.put("outputs/video_gen_1.mp4", content)
    assert uri == store.uri("outputs/video_gen_1.mp4")
    assert read_media(uri) == content


@pytest.mark.parametrize("name", ["a b.png", "é.png", "100%.png", "a+b&c.png", "deep/er/still.png"])
def test_any_name_of_a_file(store: MediaStore, name: str) -> None:
    uri = store.put(name, name.encode())
    assert read_media(uri) == name.encode()
    delete_media(uri)
    assert not there(uri)


@pytest.mark.parametrize("url", ["memory://x", "memory://x/", "memory://x//"])
def test_a_slash_at_the_end_of_the_url_does_not_matter(url: str) -> None:
    assert MediaStore(url).uri("outputs/a.mp4") == "memory://x/outputs/a.mp4"


def test_writing_returns_the_size(store: MediaStore) -> None:
    assert write_media(store.uri("a"), lambda target: target.write(b"12345")) == 5
    assert write_media(store.uri("b"), lambda target: None) == 0
    assert read_media(store.uri("b")) == b""


def test_overwriting_leaves_nothing_of_the_longer_file_before(store: MediaStore) -> None:
    uri = store.put("a", b"the longer one")
    assert store.put("a", b"short") == uri
    assert read_media(uri) == b"short"


def test_a_missing_file_is_not_found(store: MediaStore) -> None:
    with pytest.raises(FileNotFoundError):
        read_media(store.uri("not/there"))


def test_deleting(store: MediaStore) -> None:
    first, second = store.put("outputs/a", b"a"), store.put("outputs/b", b"b")
    delete_media(first)
    assert not there(first) and read_media(second) == b"b"


def test_deleting_what_is_gone_does_nothing(store: MediaStore) -> None:
    uri = store.put("a", b"a")
    for _ in range(2):
        delete_media(uri)
    delete_media(store.uri("never/was"))


@pytest.mark.parametrize("existing", [None, b"what was there"])
def test_a_writer_that_raises_changes_nothing_on_disk(tmp_path: Path, existing: bytes | None) -> None:
    uri = f"file://{tmp_path}/outputs/a.mp4"
    if existing is not None:
        write_media(uri, lambda target: target.write(existing))
    with pytest.raises(Broken):
        write_media(uri, breaks)
    assert files_below(tmp_path) == ([] if existing is None else ["outputs/a.mp4"])
    assert existing is None or read_media(uri) == existing


@pytest.mark.parametrize("existing", [None, b"what was there"])
def test_a_writer_that_raises_changes_nothing_elsewhere(memory: str, existing: bytes | None) -> None:
    uri = f"{memory}/outputs/a.mp4"
    if existing is not None:
        write_media(uri, lambda target: target.write(existing))
    with pytest.raises(Broken):
        write_media(uri, breaks)
    assert there(uri) == (existing is not None)
    assert existing is None or read_media(uri) == existing


def test_the_file_appears_with_its_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def write(target: BinaryIO) -> None:
        target.write(b"first")
        target.flush()
        assert not path.exists()
        target.write(b" last")

    write_media(str(path), write)
    assert path.read_bytes() == b"first last"
    assert files_below(tmp_path) == ["a.mp4"]


def test_what_a_dead_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.mp4.partial").write_bytes(b"much longer than what is written now")
    write_media(f"file://{tmp_path}/a.mp4", lambda target: target.write(b"new"))
    assert read_media(f"file://{tmp_path}/a.mp4") == b"new"


def test_two_writers_of_one_file_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    # A Decoder that was taken for dead may still write when the next try of its job does.
    uri = f"file://{tmp_path}/a.mp4"

    def slow(target: BinaryIO) -> None:
        target.write(b"slow ")
        write_media(uri, lambda other: other.write(b"the other one"))
        target.write(b"writer")

    assert write_media(uri, slow) == len(b"slow writer")
    assert read_media(uri) == b"slow writer"
    assert files_below(tmp_path) == ["a.mp4"]


def test_files_are_made_as_the_umask_says(tmp_path: Path) -> None:
    (plain := tmp_path / "plain").touch()
    write_media(str(tmp_path / "a"), lambda target: target.write(b"a"))
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        write_media(str(tmp_path / "a"), lambda target: target.write(b"a"))
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("prefix", ["", "file://", "local://"])
def test_the_path_of_a_local_file(tmp_path: Path, prefix: str) -> None:
    assert local_path(f"{prefix}{tmp_path}/a b.mp4") == tmp_path / "a b.mp4"


@pytest.mark.parametrize("uri", ["memory://x/a.mp4", "memory:///a.mp4"])
def test_other_file_systems_have_no_local_path(uri: str) -> None:
    assert local_path(uri) is None
