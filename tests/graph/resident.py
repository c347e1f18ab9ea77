"""Resident memory of a graph's processes: what they hold themselves, without the pages of Ray's object store."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.graph.processes import ENGINE, RANK

MIB = 2**20
PARTS = ("proxy", "Ingress", "Jobs", "Model", "Encoder", "Decoder", "Reasoner", "engine", "Generator", "rank")
"""The parts of a graph that serve requests."""
_TITLES = (
    (r"ServeReplica:\w+:(\w+)", None),
    (RANK, "rank"),
    (ENGINE, "engine"),
    (r"deployments\.decoding\.process", "decoding"),
    (r"ray::ProxyActor", "proxy"),
    (r"ray::ServeController", "controller"),
    (r"raylet/raylet", "raylet"),
    (r"gcs_server", "GCS"),
)
_HELD = re.compile(r"^Rss(?:Anon|File):\s+(\d+) kB$", re.MULTILINE)

Sizes = Mapping[str, tuple[int, ...]]
"""Bytes of every process, largest first, by the part of the graph that it is."""


def resident(processes: Iterable[psutil.Process]) -> Sizes:
    """What each process holds now."""
    sizes: dict[str, list[int]] = {}
    for process in processes:
        try:
            title = " ".join(process.cmdline())
            held = _HELD.findall(Path(f"/proc/{process.pid}/status").read_text())
        except (psutil.Error, OSError):
            continue
        sizes.setdefault(_part(title), []).append(1024 * sum(map(int, held)))
    return {part: tuple(sorted(each, reverse=True)) for part, each in sizes.items()}


def _part(title: str) -> str:
    for pattern, part in _TITLES:
        found = re.search(pattern, title)
        if found:
            return part or found[1]
    return "others"


class Peaks:
    """The largest process of each part while a block runs, looked at a few times a second.

    Attributes:
        largest: bytes by part.
        least_available: the least memory that the machine had left, bytes.
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]], every_s: float = 0.5) -> None:
        self._processes, self._every_s = processes, every_s
        self._over = threading.Event()
        self.largest: dict[str, int] = {}
        self.least_available = psutil.virtual_memory().available

    def look(self) -> None:
        """Look once."""
        for part, sizes in resident(self._processes()).items():
            self.largest[part] = max(sizes[0], self.largest.get(part, 0))
        self.least_available = min(self.least_available, psutil.virtual_memory().available)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look until the block ends."""

        def watch() -> None:
            while not self._over.wait(self._every_s):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.look()


def table(before: Sizes, peaks: Mapping[str, int], after: Sizes) -> str:
    """The largest process of each part before, while and after something happened, in MiB."""
    lines = [f"{'':>10} {'count':>5} {'before':>7} {'peak':>7} {'after':>7} {'change':>7}"]
    for part in sorted(before.keys() | after.keys(), key=lambda part: PARTS.index(part) if part in PARTS else 99):
        first, last = (max(sizes.get(part, (0,))) for sizes in (before, after))
        change = f"{100 * (last - first) / first:+.1f} %" if first and last else ""
        figures = f"{first / MIB:7.0f} {peaks.get(part, 0) / MIB:7.0f} {last / MIB:7.0f} {change:>8}"
        lines.append(f"{part:>10} {len(after.get(part, ())):5} {figures}")
    return "\n".join(lines)


def grown(before: Sizes, after: Sizes, most: float) -> dict[str, float]:
    """The parts whose largest process has grown by more than a share, with how much it has."""
    shares = {part: after[part][0] / before[part][0] - 1 for part in PARTS if part in before and part in after}
    return {part: share for part, share in shares.items() if share > most}
