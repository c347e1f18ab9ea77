"""The hash of a generation that is made in parts, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence


def joined_sha256(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The hash of a generation per modality: that of its only part, or the hash of its parts' hashes."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: hashlib.sha256("".join(part[name] for part in parts).encode()).hexdigest() for name in parts[0]}
