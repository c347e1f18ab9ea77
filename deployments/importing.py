"""Import large libraries at less cost.

torch, transformers, diffusers and vLLM make many objects that stay. Python's collector, which the number of new objects
sets off, walks them again and again while they are imported and finds next to nothing: a fifth of an import's CPU time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """No automatic garbage collection within the block, which is for imports alone."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
