"""Tiny checkpoints by name, in the user's cache folder.

Most processes find the checkpoint written, so the libraries that write one are imported only where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

from cosmos3_core.tiny import MEMBERS, TinyMember

TINY_NAMES: dict[str, TinyMember] = {f"tiny:{member}": member for member in MEMBERS}
"""Names that stand for a tiny checkpoint wherever a checkpoint is named."""

# Part of the folder's name, so that a changed writer never meets a checkpoint that an older one wrote.
CACHE_VERSION = 2
LOCK_TIMEOUT_S = 300


def cached_checkpoint(member: TinyMember) -> Path:
    """The folder of a tiny checkpoint, written first where it is absent.

    Many processes may ask at once, on one machine or on a shared folder: one of them writes, the others wait.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosmos3"
    out = cache / f"tiny-{member}-{CACHE_VERSION}"
    if not _is_written(out):
        _write_once(out, member)
    return out


def _is_written(folder: Path) -> bool:
    return (folder / "model_index.json").is_file()


def _write_once(out: Path, member: TinyMember) -> None:
    from filelock import FileLock

    from cosmos3_core.tiny.checkpoint import write_checkpoint

    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S):
        if not _is_written(out):
            write_checkpoint(out, member)
