"""The project's tests that need a card, in a process of their own with a bound."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.gpu.bench import REPOSITORY, Bench
from benchmarks.gpu.results import ItemResult
from benchmarks.gpu.run import UnavailableError

FOLDER = "tests/gpu"
BOUND_S = 180.0
LINES = 60
# Warnings of another version of torch or transformers are no failures here.
OPTIONS = ("-W", "default", "-m", "gpu", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider")


class TestsFailedError(Exception):
    """Some of the tests failed; the notes have their output."""


def measure(bench: Bench, result: ItemResult) -> None:
    """Run them and keep the end of what they print."""
    if not (REPOSITORY / FOLDER).is_dir():
        raise UnavailableError(f"there is no folder {FOLDER} here")
    command = [sys.executable, "-m", "pytest", *OPTIONS, FOLDER]
    answer = subprocess.run(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=min(BOUND_S, bench.clock.left()),
        check=False,
    )
    lines = answer.stdout.splitlines()
    result.notes["summary"] = lines[-1] if lines else ""
    result.notes["output"] = lines[-LINES:]
    if answer.returncode:
        raise TestsFailedError(f"pytest ended with {answer.returncode}: {result.notes['summary']}")
