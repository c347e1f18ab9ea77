"""What clients must not read in a message: where this server keeps its files."""

from __future__ import annotations

import re

# Paths of the server's disk; our own routes may be named.
_PATH = re.compile(r"(?<![\w.])(?!/v\d/)(?:/[\w.\-+@]+){2,}")


def without_paths(message: str) -> str:
    """A message without absolute paths, and without what cannot be encoded."""
    return _PATH.sub("<path>", message).encode("utf-8", "replace").decode()
