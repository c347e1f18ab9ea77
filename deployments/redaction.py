"""What must not stand in a message: where this server keeps its files, and the content of media."""

from __future__ import annotations

import re

# Paths of the server's disk; our own routes may be named.
_PATH = re.compile(r"(?<![\w.])(?!/v\d/)(?:/[\w.\-+@]+){2,}")
_DATA_URI = re.compile(r"(data:[^,\s]{0,100};base64,)[A-Za-z0-9+/=]+", re.IGNORECASE)


def without_paths(message: str) -> str:
    """A message without absolute paths, and without what cannot be encoded."""
    return encodable(_PATH.sub("<path>", message))


def encodable(text: str) -> str:
    """A text without lone surrogates, which JSON may hold and no answer can."""
    return text.encode("utf-8", "replace").decode()


def without_media(message: str) -> str:
    """A message whose data URIs end where their content begins."""
    return _DATA_URI.sub(r"\1...", message)
