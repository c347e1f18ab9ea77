"""From the model's normalised action space back to the units of a dataset, by the dataset's statistics (spec 8.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.embodiments import EMBODIMENTS
from cosmos3_core.errors import CosmosError

UNITS = "dataset"
"""The units of physical actions: those of the dataset that the statistics are of."""
MAX_STATISTIC = 1e9
ANY_DOMAIN = "*"
"""Stands for every embodiment that has no statistics of its own."""
WHOLE, RAW = "global", "global_raw"


class StatisticsError(CosmosError, ValueError):
    """Statistics of actions that cannot be read or used; the message says what would be right."""


class Normalisation(StrEnum):
    """How actions were normalised for training."""

    QUANTILE = "quantile"
    QUANTILE_ROT = "quantile_rot"
    """As `quantile`, by the statistics `global_raw`, in which rotations are as they come."""
    MINMAX = "minmax"
    MEANSTD = "meanstd"


_BOUNDS = {
    Normalisation.QUANTILE: ("q01", "q99"),
    Normalisation.QUANTILE_ROT: ("q01", "q99"),
    Normalisation.MINMAX: ("min", "max"),
}
_MEAN_STD = ("mean", "std")


def find_normalisation(name: str) -> Normalisation:
    """The method of a name.

    Raises:
        StatisticsError: there is none; the curves of `asinh` are not undone.
    """
    known = [method.value for method in Normalisation]
    if name not in known:
        raise StatisticsError(f"method {name!r} of action statistics is not known; expected one of {', '.join(known)}")
    return Normalisation(name)


@dataclass(frozen=True)
class ActionStatistics:
    """How to undo the normalisation of an embodiment's actions: `offset + scale a` for each channel.

    Attributes:
        method: how they were normalised.
        offset, scale: of each channel, in the units of the dataset.
    """

    method: Normalisation
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def read(cls, path: Path, method: Normalisation = Normalisation.QUANTILE) -> ActionStatistics:
        """Read a JSON file with an array per statistic, at the top or within `global` and `global_raw`.

        Raises:
            StatisticsError: the file cannot be read, or lacks what the method needs.
        """
        try:
            content = json.loads(path.expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StatisticsError(f"{path}: cannot be read as JSON: {error}") from error
        found = _statistics(content, method, path)
        if method is Normalisation.MEANSTD:
            offset, scale = (_channels(found, name, path) for name in _MEAN_STD)
        else:
            low, high = (_channels(found, name, path) for name in _BOUNDS[method])
            _check_lengths(low, high, path)
            offset, scale = (high + low) / 2, (high - low) / 2
        _check_lengths(offset, scale, path)
        if bool((scale < 0).any()):
            channel = int(np.argmax(scale < 0))
            raise StatisticsError(f"{path}: channel {channel} ends below its start; expected a range or a deviation")
        return cls(method, tuple(offset.tolist()), tuple(scale.tolist()))

    @property
    def width(self) -> int:
        """Number of channels."""
        return len(self.offset)

    def physical(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised actions `[rows, width]` in the units of the dataset."""
        return (np.asarray(self.offset) + np.asarray(self.scale) * rows).astype(np.float32)


def check_domain(name: str) -> str:
    """The name of an embodiment, or its id as text, or `ANY_DOMAIN`, as a key of a table of statistics.

    Raises:
        StatisticsError: there is no such embodiment.
    """
    known = name.lower()
    if known not in EMBODIMENTS and known != ANY_DOMAIN and not (known.isascii() and known.isdecimal()):
        raise StatisticsError(f"domain {name!r} is not known; expected a domain id or one of {', '.join(EMBODIMENTS)}")
    return known


def statistics_of(
    table: Mapping[str, ActionStatistics], name: str | None, domain: int, width: int
) -> ActionStatistics | None:
    """The statistics that fit the actions of a request; None where there are none.

    Several embodiments may have one id and statistics of their own. So the name decides where a request gives it.

    Args:
        table: statistics by the keys of `check_domain`.
        name: the embodiment's name, as the request gives it.
        domain: its id.
        width: number of channels of the actions.
    """
    names = [known for known, embodiment in EMBODIMENTS.items() if embodiment.domain == domain]
    if name is not None and name.lower() in names:
        names = [name.lower()]
    of_names = [table[known] for known in names if known in table]
    found = of_names[0] if len(of_names) == 1 else table.get(str(domain), table.get(ANY_DOMAIN))
    return found if found is not None and found.width == width else None


def _statistics(content: Any, method: Normalisation, path: Path) -> Mapping[str, Any]:
    """The block of a file that a method takes its statistics from."""
    if not isinstance(content, dict):
        raise StatisticsError(f"{path}: is a {type(content).__name__}; expected an object with an array per statistic")
    name = RAW if method is Normalisation.QUANTILE_ROT else WHOLE
    if not {WHOLE, RAW} & set(content):
        return content
    block = content.get(name)
    if not isinstance(block, dict):
        raise StatisticsError(f"{path}: has no object {name}, which {method.value} needs")
    return block


def _channels(statistics: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    if name not in statistics:
        raise StatisticsError(f"{path}: has no {name}; it has {', '.join(statistics) or 'nothing'}")
    try:
        values = np.asarray(statistics[name], np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not values.size or not bool((np.abs(values) <= MAX_STATISTIC).all()):
        raise StatisticsError(f"{path}: {name} is not a list of finite numbers, one for each channel")
    return values


def _check_lengths(one: NDArray[np.float64], other: NDArray[np.float64], path: Path) -> None:
    if len(one) != len(other):
        raise StatisticsError(f"{path}: has {len(one)} and {len(other)} channels; expected as many of each statistic")
