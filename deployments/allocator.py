"""Memory that the C library keeps after it was freed."""

from __future__ import annotations

import ctypes


def give_memory_back() -> None:
    """Return freed memory to the machine: the C library keeps it otherwise. Other threads go on meanwhile."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
