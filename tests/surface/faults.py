"""Faults of the machine, made on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nowhere_to_write(data: Path) -> Iterator[None]:
    """Replace the folder of a graph's results by a file, so that no result can be written; restore it at the end."""
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
