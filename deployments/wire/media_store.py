"""Media bytes by URI: a folder by default, an object store by URL, through fsspec.

Inputs and results travel between stages as URIs, so that neither a queue nor the object store holds a video.
"""

from __future__ import annotations

import glob
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from deployments.wire.encoded_file import EncodedFile, chunks_of

INPUTS, SNAPSHOTS, OUTPUTS = "inputs", "snapshots", "outputs"
"""Its folders. Inputs and snapshots of a job are needed only until it is over."""
PARTIAL = ".partial"
"""Suffix of a file that is still being written."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a media store: its name below the store's URL, its URI and its age in seconds."""

    name: str
    uri: str
    age_s: float


class MediaStore:
    """One folder of media."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def uri(self, name: str) -> str:
        """The URI of a name such as `outputs/video_gen_1.mp4`."""
        return f"{self.url}/{name}"

    def put(self, name: str, content: EncodedFile) -> str:
        """Store a medium under a name and return its URI."""
        uri = self.uri(name)
        write_media(uri, lambda target: target.writelines(chunks_of(content)))
        return uri

    def files(self, folder: str) -> list[StoredFile]:
        """All files of one of its folders, including those that are still being written."""
        system, path = fsspec.core.url_to_fs(self.uri(folder))
        system.invalidate_cache()
        found: dict[str, dict[str, Any]] = system.find(path, detail=True, withdirs=False)
        now = time.time()
        names = {place: f"{folder}/{place.removeprefix(path).lstrip('/')}" for place in found}
        return [
            StoredFile(names[place], self.uri(names[place]), now - _modified_at(system, place, about))
            for place, about in found.items()
        ]


def _modified_at(system: Any, path: str, about: dict[str, Any]) -> float:
    # What a listing calls it differs between file systems.
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = about.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime):
            return value.timestamp()
    modified: datetime = system.modified(path)
    return modified.timestamp()


def write_media(uri: str, write: Callable[[BinaryIO], object]) -> int:
    """Let `write` fill the file at `uri`, whole or not at all, and return its size in bytes."""
    system, path = fsspec.core.url_to_fs(uri)
    system.makedirs(os.path.dirname(path), exist_ok=True)
    local = isinstance(system, LocalFileSystem)
    # On a disk it is written next to its target, so that a rename replaces the target at once.
    folder = os.path.dirname(path) if local else tempfile.gettempdir()
    partial = Path(folder, f".{os.path.basename(path)}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with partial.open("wb") as target:
            write(target)
            target.flush()
            # A job is called completed only when its file would survive a power cut.
            os.fsync(target.fileno())
            size = target.tell()
        if local:
            partial.replace(path)
            _make_durable(folder)
        else:
            system.put_file(str(partial), path)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _make_durable(folder: str) -> None:
    """Make a folder's entries durable, as its files' contents are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_media(uri: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes at a URI, or those from `start` to before `end`.

    Raises:
        FileNotFoundError: there is nothing.
    """
    system, path = fsspec.core.url_to_fs(uri)
    content: bytes = system.cat_file(path, start, end)
    return content


def media_size(uri: str) -> int | None:
    """Size of a file in bytes; None where there is none."""
    system, path = fsspec.core.url_to_fs(uri)
    system.invalidate_cache()
    try:
        return int(system.size(path))
    except FileNotFoundError:
        return None


def delete_media(uri: str) -> None:
    """Remove a file and what a dead writer has left of it; does nothing if it is gone already."""
    system, path = fsspec.core.url_to_fs(uri)
    # Nothing checks first whether it is there: some file systems answer from a listing that is older than the file.
    with suppress(FileNotFoundError, NotADirectoryError):
        system.rm_file(path)
    if isinstance(system, LocalFileSystem):
        for partial in Path(path).parent.glob(f".{glob.escape(os.path.basename(path))}.*{PARTIAL}"):
            partial.unlink(missing_ok=True)


def local_path(uri: str) -> Path | None:
    """The path behind a URI on this machine's file system, else None."""
    system, path = fsspec.core.url_to_fs(uri)
    return Path(path) if isinstance(system, LocalFileSystem) else None


def is_local(url: str) -> bool:
    """Whether a URL means a disk; asks no driver, which need not be installed for the answer."""
    protocol, _ = fsspec.core.split_protocol(url)
    return protocol in (None, "file", "local")
