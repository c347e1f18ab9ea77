"""Media bytes by URI: a folder by default, an object store by URL, through fsspec.

Inputs and results travel between stages as URIs, so that neither a queue nor the object store holds a video.
"""

from __future__ import annotations

import glob
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem


class MediaStore:
    """One folder of media."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def uri(self, name: str) -> str:
        """The URI of a name such as `outputs/video_gen_1.mp4`."""
        return f"{self.url}/{name}"

    def put(self, name: str, content: bytes) -> str:
        """Store bytes under a name and return their URI."""
        uri = self.uri(name)
        write_media(uri, lambda target: target.write(content))
        return uri


def write_media(uri: str, write: Callable[[BinaryIO], object]) -> int:
    """Let `write` fill the file at `uri`, whole or not at all, and return its size in bytes."""
    system, path = fsspec.core.url_to_fs(uri)
    system.makedirs(os.path.dirname(path), exist_ok=True)
    local = isinstance(system, LocalFileSystem)
    # Beside its target where that is a disk, so that it can take its place at once.
    folder = os.path.dirname(path) if local else tempfile.gettempdir()
    partial = Path(folder, f".{os.path.basename(path)}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as target:
            write(target)
            target.flush()
            # A job is called completed only when its file would survive a power cut.
            os.fsync(target.fileno())
            size = target.tell()
        if local:
            partial.replace(path)
        else:
            system.put_file(str(partial), path)
    finally:
        partial.unlink(missing_ok=True)
    return size


def read_media(uri: str) -> bytes:
    """The bytes at a URI.

    Raises:
        FileNotFoundError: there is nothing.
    """
    system, path = fsspec.core.url_to_fs(uri)
    content: bytes = system.cat_file(path)
    return content


def delete_media(uri: str) -> None:
    """Remove a file, and what a writer that died has left of it; nothing happens where it is gone already."""
    system, path = fsspec.core.url_to_fs(uri)
    if system.exists(path):
        system.rm(path)
    if isinstance(system, LocalFileSystem):
        for partial in Path(path).parent.glob(f".{glob.escape(os.path.basename(path))}.*.partial"):
            partial.unlink(missing_ok=True)


def local_path(uri: str) -> Path | None:
    """The path behind a URI on this machine's file system, else None."""
    system, path = fsspec.core.url_to_fs(uri)
    return Path(path) if isinstance(system, LocalFileSystem) else None


def is_local(url: str) -> bool:
    """Whether a URL means a disk; asks no driver, which need not be installed for the answer."""
    protocol, _ = fsspec.core.split_protocol(url)
    return protocol in (None, "file", "local")
