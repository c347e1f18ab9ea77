"""Measure a card within a deadline: `python -m benchmarks.gpu --output out/gpu.json`; in miniature without one."""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path

# The deadline counts from here, and the imports of `main` take seconds.
STARTED = time.monotonic()
DEADLINE_S = 540.0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/gpu.json"), help="the results file")
    parser.add_argument("--deadline", type=float, default=DEADLINE_S, help="seconds that the run may take")
    parser.add_argument("--items", nargs="+", metavar="ID", help="only these items")
    parser.add_argument("--bundle", type=Path, help="an archive made by `make gpu-bundle`, for a machine without it")
    parser.add_argument("--miniature", action="store_true", help="try the script itself with tiny shapes on the CPU")
    return parser.parse_args()


def say(text: str) -> None:
    """A line on the terminal, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Unpack the bundle, if there is one, and measure."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        if options.bundle is not None:
            unpack(options.bundle, folder)
        measure(options)


def unpack(bundle: Path, folder: str) -> None:
    """Make the packages of a bundle importable, in child processes as well."""
    with tarfile.open(bundle) as archive:
        archive.extractall(folder, filter="data")
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    say(f"unpacked {bundle}")


def measure(options: argparse.Namespace) -> None:
    """Run the items, rewriting the results file after each."""
    import torch

    from benchmarks.environment import describe
    from benchmarks.gpu.bench import Bench
    from benchmarks.gpu.deadline import Clock
    from benchmarks.gpu.items import items_of
    from benchmarks.gpu.results import ItemResult, Report, Status, table
    from benchmarks.gpu.run import run_items
    from benchmarks.gpu.sizes import size_of

    cuda = torch.cuda.is_available() and not options.miniature
    if not cuda:
        reason = "as asked" if options.miniature else "because there is no CUDA device"
        say(f"in miniature on the CPU, {reason}: this tries the script, and its figures say nothing about a card")
    items = items_of(miniature=not cuda)
    unknown = set(options.items or ()) - {item.id for item in items}
    if unknown:
        sys.exit(f"no such items: {', '.join(sorted(unknown))}; there are {', '.join(item.id for item in items)}")
    size = size_of(miniature=not cuda)
    report = Report(size.name, options.deadline, describe(), [item.result() for item in items])
    for result in report.items:
        if options.items and result.id not in options.items:
            result.status, result.reason = Status.SKIPPED, "not asked for"
    clock = Clock(options.deadline, STARTED)
    bench = Bench(size, torch.device("cuda", 0) if cuda else torch.device("cpu"), clock, report)

    def changed(result: ItemResult) -> None:
        report.write(options.output)
        say(" ".join(filter(None, [result.id, result.status.value, result.reason])))
        if result.status is not Status.RUNNING:
            bench.release_memory()

    report.write(options.output)
    run_items(items, bench, report, clock, changed)
    print(table(report))
    say(f"wrote {options.output}")


if __name__ == "__main__":
    main()
