"""The results file: what was measured on which machine, whole and valid whenever the process ends."""

from __future__ import annotations

import json
import math
import os
import statistics
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

LONGEST_NOTE = 240


class Status(StrEnum):
    """Whether an item ran, and how that ended. When a run is killed, its file holds pending and running items."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass
class Measurement:
    """Seconds of one piece of work.

    Attributes:
        name: what was measured.
        samples: seconds of each repeat.
        prediction_s: seconds that `cosmos3_core.planning` expects.
        flops, bytes_moved: the work of one repeat.
        peer: seconds of each repeat of the same work by diffusers.
    """

    name: str
    samples: list[float]
    prediction_s: float | None = None
    flops: float | None = None
    bytes_moved: float | None = None
    peer: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)

    def to_json(self) -> dict[str, Any]:
        """The measurement with what follows from it; what is unknown is left out."""
        median = self.median_s
        fields: dict[str, Any] = {
            "name": self.name,
            "median_s": median,
            "prediction_s": self.prediction_s,
            "tflop_per_s": None if self.flops is None else self.flops / median / 1e12,
            "tb_per_s": None if self.bytes_moved is None else self.bytes_moved / median / 1e12,
            "peer_median_s": statistics.median(self.peer) if self.peer else None,
            "ours_over_peer": median / statistics.median(self.peer) if self.peer else None,
            "samples": self.samples,
            "peer_samples": self.peer or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Kernel:
    """A kernel, or on a CPU an operator: its launches and its own seconds in what was profiled."""

    name: str
    count: int
    seconds: float


@dataclass
class ItemResult:
    """What an item gave, also when it failed on the way.

    Attributes:
        id, title: the id and the title of the item.
        estimate_s: seconds that it was expected to take.
        status: whether it ran, and how that ended.
        reason: why it was skipped or failed.
        seconds: how long it took.
        measurements: the timings.
        omitted: parts that could not be measured, each with the reason.
        notes: everything else, such as errors, peak memory and names of kernels.
        kernels: the largest kernels of each thing that was profiled.
    """

    id: str
    title: str
    estimate_s: float
    status: Status = Status.PENDING
    reason: str = ""
    seconds: float | None = None
    measurements: list[Measurement] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    kernels: dict[str, list[Kernel]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        kernels = {name: [asdict(kernel) for kernel in largest] for name, largest in self.kernels.items()}
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status.value,
            "reason": self.reason,
            "estimate_s": self.estimate_s,
            "seconds": self.seconds,
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "omitted": self.omitted,
            "notes": self.notes,
            "kernels": kernels,
        }


@dataclass
class Report:
    """The whole file.

    Attributes:
        size: `nano`, or `miniature` where only the script itself is tried.
        deadline_s: seconds that the run may take.
        environment: hardware, versions and the command.
        card: what nvidia-smi says; empty without a card.
        items: the results in their order.
    """

    size: str
    deadline_s: float
    environment: dict[str, Any]
    items: list[ItemResult]
    card: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that it is whole whenever the process is killed."""
        content = {
            "size": self.size,
            "deadline_s": self.deadline_s,
            "environment": self.environment,
            "card": self.card,
            "items": [item.to_json() for item in self.items],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(_valid(content), indent=2, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def table(report: Report) -> str:
    """Timings, notes and what was left out, for a terminal."""
    lines = [_line("", "median", "predicted", "rate", "ours / peer")]
    for item in report.items:
        lines.append(f"{item.id}: {item.status.value} {item.reason}".rstrip())
        lines += [_line(*_row(measurement.to_json())) for measurement in item.measurements]
        lines += [f"  {part}: {reason}" for part, reason in item.omitted.items()]
        notes = {name: json.dumps(_valid(note)) for name, note in item.notes.items()}
        lines += [f"  {name}: {note}" for name, note in notes.items() if len(note) <= LONGEST_NOTE]
    return "\n".join(lines)


def _line(name: str, median: str, expected: str, rate: str, ratio: str) -> str:
    return f"{name:<48}{median:>13}{expected:>13}{rate:>20}{ratio:>13}".rstrip()


def _row(fields: dict[str, Any]) -> tuple[str, str, str, str, str]:
    expected = fields.get("prediction_s")
    rate = f"{fields['tflop_per_s']:.4g} TFLOP/s" if "tflop_per_s" in fields else ""
    rate = f"{fields['tb_per_s']:.4g} TB/s" if "tb_per_s" in fields else rate
    return (
        f"  {fields['name']}",
        f"{1e3 * fields['median_s']:.4g} ms",
        "" if expected is None else f"{1e3 * expected:.4g} ms",
        rate,
        f"{fields['ours_over_peer']:.2f}" if "ours_over_peer" in fields else "",
    )


def _valid(value: Any) -> Any:
    """The same without infinities and NaN, which JSON does not have; they become text."""
    if isinstance(value, dict):
        return {key: _valid(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
