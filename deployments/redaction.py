"""Removes from messages what must not be in them: paths of this server's files, addresses of objects, and media."""

from __future__ import annotations

import re

# Absolute paths, but not our own routes, which messages may name.
_PATH = re.compile(r"(?<![\w.])(?!/v\d/)(?:/[\w.\-+@]+){2,}")
_DATA_URI = re.compile(r"(data:[^,\s]{0,100};base64,)[A-Za-z0-9+/=]+", re.IGNORECASE)
# As Python shows an object that has no text of its own, and an address alone. Shorter numbers are codes and bytes.
_OBJECT = re.compile(r"<[^<>]{1,200} at 0x[0-9a-f]{4,16}[^<>]{0,100}>|\b0x[0-9a-f]{8,16}\b", re.IGNORECASE)


def redacted(message: str) -> str:
    """A message as a client may get it: without paths, addresses, media and lone surrogates."""
    return without_paths(without_addresses(without_media(message)))


def without_addresses(message: str) -> str:
    """A message without objects that are shown by their address in memory."""
    return _OBJECT.sub("<object>", message)


def without_paths(message: str) -> str:
    """A message without absolute paths and lone surrogates."""
    return encodable(_PATH.sub("<path>", message))


def encodable(text: str) -> str:
    """A text without lone surrogates: JSON may hold them, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "replace").decode()


def without_media(message: str) -> str:
    """A message with the content of its data URIs cut off."""
    return _DATA_URI.sub(r"\1...", message)
