"""`cosmos3 generate --adapter`: LoRA files for a run in this process, or names of a server's adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

OPTION = "--adapter"


@dataclass(frozen=True)
class NamedAdapter:
    """What an option says.

    Attributes:
        name: the adapter's name.
        path: its file or folder; None for one that the server has.
        weight: its weight; None is 1.
    """

    name: str
    path: Path | None
    weight: float | None


def read_options(options: Sequence[str], here: bool) -> list[NamedAdapter]:
    """The adapters that options name.

    Args:
        options: NAME=PATH, or NAME, each with or without :WEIGHT at its end.
        here: whether they are loaded in this process, and so need paths.

    Raises:
        BadParameter: a path is missing, or is given to a server, or there is no name.
    """
    adapters = [_read(option) for option in options]
    for option, adapter in zip(options, adapters, strict=True):
        if not adapter.name or (adapter.path is None) is here:
            expected = "NAME=PATH or NAME=PATH:WEIGHT" if here else "NAME or NAME:WEIGHT of an adapter of the server"
            raise typer.BadParameter(f"is {option!r}; expected {expected}", param_hint=OPTION)
    return adapters


def _read(option: str) -> NamedAdapter:
    rest, colon, last = option.rpartition(":")
    try:
        weight = float(last) if colon else None
    except ValueError:
        # A colon within a path.
        weight = None
    name, equals, path = (option if weight is None else rest).partition("=")
    return NamedAdapter(name, Path(path) if equals else None, weight)


def fields_of(adapters: Sequence[NamedAdapter]) -> list[dict[str, Any]] | None:
    """The request's field; None where no option is given."""
    uses = [{"name": one.name, "weight": 1.0 if one.weight is None else one.weight} for one in adapters]
    return uses or None


def paths_of(adapters: Sequence[NamedAdapter]) -> dict[str, Path]:
    """The files to load, by name."""
    return {adapter.name: adapter.path for adapter in adapters if adapter.path is not None}
