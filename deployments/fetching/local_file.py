"""Reads one file of this machine, where the operator has named a folder that clients may name files in.

A client could ask for a path in which somebody replaces a folder by a link between the check and the opening. So the
path is resolved first, and its folders are then opened one inside the other, none of which may be a link any more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.policy import INSTEAD

MAX_CHARACTERS = 4096
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO that nobody writes to would wait.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_local(address: str, roots: Sequence[Path], max_bytes: int, take: Callable[[int], None]) -> bytes:
    """The content of a file below one of the roots; in a thread, because a disk may be slow.

    Args:
        address: a `file://` URL or an absolute path.
        roots: folders that clients may name files in.
        max_bytes: the most that the file may have.
        take: called with the number of bytes before they are read; it may refuse them.

    Raises:
        FetchError: there is no such file that may be read, or it is too large.
    """
    if not roots:
        reason = f"names a file on the server, which reads none for its clients; {INSTEAD}"
        raise FetchError(reason, Outcome.REFUSED)
    try:
        path = _path(address)
    except ValueError:
        raise FetchError("is not a valid file URL; expected file:///path", Outcome.REFUSED) from None
    for root in roots:
        try:
            real_root = Path(os.path.realpath(root, strict=True))
            inside = _below(real_root, root, path)
            if inside:
                return _read(real_root, inside, max_bytes, take)
        except (OSError, ValueError):
            # Missing, a link, unreadable: the reason would tell a client what there is.
            continue
    raise FetchError("names no file that this server may read", Outcome.REFUSED)


def _path(address: str) -> str:
    """The absolute path that an address means.

    Raises:
        FetchError, ValueError: it means none.
    """
    if len(address) > MAX_CHARACTERS:
        raise FetchError(f"is longer than {MAX_CHARACTERS} characters", Outcome.REFUSED)
    if address.startswith("/"):
        return address
    if "?" in address or "#" in address:
        raise FetchError("has a ? or #; expected it percent-encoded in the path of a file", Outcome.REFUSED)
    parts = urlsplit(address)
    if parts.netloc.lower() not in ("", "localhost") or not parts.path.startswith("/"):
        raise FetchError("names another host or no absolute path; expected file:///path", Outcome.REFUSED)
    return os.fsdecode(unquote_to_bytes(parts.path))


def _below(real_root: Path, root: Path, path: str) -> tuple[str, ...]:
    """The names that lead from a root to a file, without links; empty if it is not below the root.

    Raises:
        OSError, ValueError: there is no such file.
    """
    # Before the disk is asked, which would show by its time what there is outside.
    written = Path("/" + os.path.normpath(path).lstrip("/"))
    if not any(written.is_relative_to(start) for start in (Path(os.path.normpath(root)), real_root)):
        return ()
    real = Path(os.path.realpath(path, strict=True))
    return real.relative_to(real_root).parts if real.is_relative_to(real_root) else ()


def _read(real_root: Path, inside: tuple[str, ...], max_bytes: int, take: Callable[[int], None]) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it is not one, or a link has taken the place of something on the way.
        FetchError: it is too large, or changes while it is read.
    """
    *folders, name = inside
    folder = os.open(real_root, _FOLDER)
    try:
        for each in folders:
            parent, folder = folder, os.open(each, _FOLDER, dir_fd=folder)
            os.close(parent)
        # Before it is opened, because opening a device may do something.
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError("not a regular file")
        opened = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    with open(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("not a regular file")
        if found.st_size > max_bytes:
            raise FetchError(f"names a file of more than {max_bytes} bytes; send a smaller one", Outcome.TOO_LARGE)
        take(found.st_size)
        content = file.read(found.st_size + 1)
    if len(content) != found.st_size:
        raise FetchError("names a file that changed while it was read; try again")
    return content
