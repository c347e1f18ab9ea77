"""The API keys of the shared graph, by name, and what each may have unfinished."""

from __future__ import annotations

import hashlib
from typing import Any

# Few enough that the clients of a run of chaos are told to come back later.
MOST_OF_THE_CROWD = 4
_BOUNDS: dict[str, dict[str, Any]] = {
    "alice": {},
    "bob": {"max_unfinished": 3},
    "carol": {},
    "crowd": {"max_unfinished": MOST_OF_THE_CROWD},
}


def key_settings() -> list[dict[str, Any]]:
    """The keys for the settings of Ingress and Jobs."""
    return [
        {"name": name, "sha256": hashlib.sha256(key_of(name).encode()).hexdigest(), **bounds}
        for name, bounds in _BOUNDS.items()
    ]


def key_of(name: str) -> str:
    """The key."""
    return f"{name}'s key"


def authorization(name: str) -> dict[str, str]:
    """The header that carries the key."""
    return {"Authorization": f"Bearer {key_of(name)}"}
