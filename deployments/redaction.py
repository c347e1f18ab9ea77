"""Removes from messages what must not be in them: paths of this server's files, and the content of media."""

from __future__ import annotations

import re

# Absolute paths, but not our own routes, which messages may name.
_PATH = re.compile(r"(?<![\w.])(?!/v\d/)(?:/[\w.\-+@]+){2,}")
_DATA_URI = re.compile(r"(data:[^,\s]{0,100};base64,)[A-Za-z0-9+/=]+", re.IGNORECASE)


def without_paths(message: str) -> str:
    """A message without absolute paths and lone surrogates."""
    return encodable(_PATH.sub("<path>", message))


def encodable(text: str) -> str:
    """A text without lone surrogates: JSON may hold them, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "replace").decode()


def without_media(message: str) -> str:
    """A message with the content of its data URIs cut off."""
    return _DATA_URI.sub(r"\1...", message)
