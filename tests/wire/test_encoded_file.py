"""Encoded media in memory and on the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from deployments.wire.encoded_file import CHUNK_BYTES, DiskFile, EncodedFile, chunks_of, digest_of, first_bytes

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 128) + b"end"


def on_disk(content: bytes, folder: Path | None = None) -> DiskFile:
    file = DiskFile(folder)
    for start in range(0, len(content), 100_000):
        file.write(content[start : start + 100_000])
    return file


@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize("content", [CONTENT, b"", b"abc", CONTENT[:CHUNK_BYTES]])
def test_both_forms_say_the_same(disk: bool, content: bytes) -> None:
    file: EncodedFile = on_disk(content) if disk else content
    assert (len(file), bool(file)) == (len(content), bool(content))
    assert first_bytes(file, 10) == content[:10]
    assert b"".join(chunks_of(file)) == content
    assert digest_of(file) == hashlib.sha256(content).hexdigest()
    if isinstance(file, DiskFile):
        assert max(map(len, file.chunks()), default=0) <= CHUNK_BYTES
        file.close()


def test_files_are_equal_if_their_bytes_are() -> None:
    one, same = on_disk(CONTENT), on_disk(CONTENT)
    longer, other = on_disk(CONTENT + b"x"), on_disk(CONTENT[:-1] + b"x")
    assert one == same and one == CONTENT and [same] == [CONTENT]
    assert one not in (longer, other, CONTENT[:-1] + b"x", CONTENT[:-1], None, "text")
    for file in (one, same, longer, other):
        file.close()


def test_it_has_no_name(tmp_path: Path) -> None:
    file = on_disk(CONTENT, tmp_path)
    assert list(tmp_path.iterdir()) == []
    file.close()


def test_another_process_can_read_it_and_no_more(tmp_path: Path) -> None:
    file = on_disk(CONTENT, tmp_path)
    first, second = file.descriptor(), file.descriptor()
    file.close()
    try:
        assert os.read(first, 10) == os.read(second, 10) == CONTENT[:10]
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(first, b"x")
    finally:
        os.close(first)
        os.close(second)


def test_a_closed_file_never_reads_another_one(tmp_path: Path) -> None:
    file = on_disk(CONTENT, tmp_path)
    chunks = file.chunks()
    next(chunks)
    file.close()
    file.close()
    other = on_disk(b"another client's", tmp_path)
    for use in (lambda: next(chunks), lambda: file.read(10), file.descriptor, lambda: file.write(b"x")):
        with pytest.raises(ValueError, match="closed file"):
            use()
    other.close()
