"""Faults of the machine under a graph, made on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nowhere_to_write(data: Path) -> Iterator[None]:
    """A file stands where the folder of a graph's results was; those that were there come back."""
    outputs = data / "media" / "outputs"
    aside = outputs.with_name("aside")
    outputs.mkdir(parents=True, exist_ok=True)
    outputs.rename(aside)
    outputs.touch()
    try:
        yield
    finally:
        outputs.unlink()
        aside.rename(outputs)
