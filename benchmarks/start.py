"""What starting `tiny-cpu` and leaving it idle cost: CPU-seconds until it is healthy, then percent of a core.

`python -m benchmarks.start --against FOLDER` measures another checkout of this repository in alternation with this one;
both run in this environment. CPU time is that of all processes of the graph, those that have ended included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe
from deployments.local.ports import free_port

HERE = Path(__file__).parents[1]
START_TIMEOUT_S = 600
SETTLE_S = 30
STOP_TIMEOUT_S = 60
POLL_S = 0.5
SHOWN_PROCESSES = 16
SHOWN_CHARACTERS = 4000

console = Console()


@dataclass(frozen=True)
class Round:
    """One start and one idle period.

    Attributes:
        start_cpu_s: CPU-seconds of all processes until the graph was healthy.
        start_s: wall seconds until then.
        idle_percent: of one core over the idle period.
        processes: CPU-seconds until healthy and percent when idle, by the process's name.
    """

    start_cpu_s: float
    start_s: float
    idle_percent: float
    processes: dict[str, tuple[float, float]]


def tree(root: psutil.Process) -> dict[int, tuple[str, float]]:
    """Name and CPU-seconds of a process and all below it; ended children count with the parent that waited for them."""
    found = {}
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            spent = times.user + times.system + times.children_user + times.children_system
            found[process.pid] = (_name(process), spent)
    return found


def _total(processes: dict[int, tuple[str, float]]) -> float:
    return sum(spent for _, spent in processes.values())


def _name(process: psutil.Process) -> str:
    command = process.cmdline() or [process.name()]
    if command[0].startswith(("ray::", "VLLM::")):
        return command[0].split("(")[0]
    scripts = [part for part in command if part.endswith((".py", "serve_process", "raylet", "gcs_server"))]
    return Path(scripts[0]).name if scripts else Path(command[0]).name


@contextmanager
def served(checkout: Path, folder: Path, port: int) -> Iterator[psutil.Process]:
    """The graph of a checkout, from its start until the block ends."""
    command = [sys.executable, "-m", "deployments.cli", "serve", "tiny-cpu"]
    command += ["--port", str(port), "--data", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            yield psutil.Process(process.pid)
        except RuntimeError:
            console.print((folder / "log").read_text(encoding="utf-8", errors="replace")[-SHOWN_CHARACTERS:])
            raise
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def wait_healthy(process: psutil.Process, port: int) -> None:
    """Wait until `/health` answers 200.

    Raises:
        RuntimeError: the graph ends, or is not healthy within `START_TIMEOUT_S`.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.status() != psutil.STATUS_ZOMBIE:
        with suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                return
        time.sleep(POLL_S)
    raise RuntimeError(f"the graph ended, or was not healthy within {START_TIMEOUT_S} s")


def measure(checkout: Path, idle_s: float) -> Round:
    """Start a checkout's graph, wait until it is healthy, leave it idle."""
    with tempfile.TemporaryDirectory() as folder:
        port, started = free_port(), time.monotonic()
        with served(checkout, Path(folder), port) as root:
            wait_healthy(root, port)
            start_s, at_start = time.monotonic() - started, tree(root)
            time.sleep(SETTLE_S)
            before, since = tree(root), time.monotonic()
            time.sleep(idle_s)
            after, elapsed = tree(root), time.monotonic() - since
    used = {pid: after[pid][1] - before.get(pid, ("", 0.0))[1] for pid in after}
    names = {pid: name for pid, (name, _) in (at_start | after).items()}
    processes: dict[str, tuple[float, float]] = {}
    for pid, name in names.items():
        spent, idle = processes.get(name, (0.0, 0.0))
        now = at_start[pid][1] if pid in at_start else 0.0
        processes[name] = (spent + now, idle + 100 * used.get(pid, 0.0) / elapsed)
    return Round(
        start_cpu_s=_total(at_start),
        start_s=start_s,
        # By sums: what a process used that has ended meanwhile stands in its parent's time now.
        idle_percent=100 * (_total(after) - _total(before)) / elapsed,
        processes=processes,
    )


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Medians over the rounds, and the processes of the last one, the most expensive first."""
    last = sorted(rounds[-1].processes.items(), key=lambda item: -sum(item[1]))[:SHOWN_PROCESSES]
    return {
        "start_cpu_s": round(statistics.median(one.start_cpu_s for one in rounds), 1),
        "start_s": round(statistics.median(one.start_s for one in rounds), 1),
        "idle_percent_of_a_core": round(statistics.median(one.idle_percent for one in rounds), 1),
        "samples": {"start_cpu_s": [round(one.start_cpu_s, 1) for one in rounds]},
        "processes": {name: {"start_cpu_s": round(a, 1), "idle_percent": round(b, 1)} for name, (a, b) in last},
    }


def main() -> None:
    """Measure, print, and write a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout to measure in alternation with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of the idle period")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    checkouts = {"this": HERE} | ({"other": arguments.against.resolve()} if arguments.against else {})
    rounds: dict[str, list[Round]] = {name: [] for name in checkouts}
    for number in range(arguments.rounds):
        for name, checkout in checkouts.items():
            found = measure(checkout, arguments.idle)
            rounds[name].append(found)
            console.print(f"round {number + 1}, {name}: {found.start_cpu_s:.1f} CPU-s, {found.idle_percent:.1f} % idle")
    results: dict[str, Any] = {name: summary(found) for name, found in rounds.items()}
    if arguments.against:
        results["ratio"] = round(results["this"]["start_cpu_s"] / results["other"]["start_cpu_s"], 3)
    for name in checkouts:
        console.print(_table(name, results[name]))
    console.print(f"ratio of CPU-seconds until healthy: {results.get('ratio', 'one checkout only')}")
    if arguments.output:
        report = {"environment": describe(), "results": results}
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _table(name: str, result: dict[str, Any]) -> Table:
    table = Table(f"{name}: process", "CPU-s until healthy", "% of a core when idle")
    for process, figures in result["processes"].items():
        table.add_row(process, str(figures["start_cpu_s"]), str(figures["idle_percent"]))
    table.add_row("all", str(result["start_cpu_s"]), str(result["idle_percent_of_a_core"]))
    return table


if __name__ == "__main__":
    main()
