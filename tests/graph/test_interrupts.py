"""Ctrl-C of `make serve` and `make demo` at any moment, and graphs beside each other and beside a Ray of somebody else.

`COSMOS3_INTERRUPTS` sets how many moments are drawn, `COSMOS3_TEST_SEED` repeats a draw.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from deployments.local.errors import GraphError
from deployments.local.launch import Launch, RunningGraph
from deployments.local.ports import DEFAULT_PORT, free_port
from tests.graph.echo_config import echo
from tests.graph.processes import Foreground, foreground, lives, placement_groups, until
from tests.graph.starting import START_TIMEOUT_S

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("COSMOS3_TEST_SEED") or random.SystemRandom().randrange(2**32))
MOMENTS = int(os.environ.get("COSMOS3_INTERRUPTS") or 0)
# Without the variable only moments of the start; with it also of the time after, which two cores reach in a minute.
FEW, EARLY_S, LATE_S = 2, 25.0, 80.0
STOP_S = 40.0


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for what is temporary, short enough for Ray's sockets; no graph leaves its own in it."""
    with tempfile.TemporaryDirectory(prefix="i", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        assert list(Path(folder).glob("cosmos3-*")) == []


def environment_in(short: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(short), "XDG_DATA_HOME": str(short / "data"), "PYTHONUNBUFFERED": "1"}


def serve_command(short: Path, *, by_make: bool = False, recipe: str = "tiny-cpu", data: str = "serve") -> list[str]:
    if by_make and port_is_free(DEFAULT_PORT):
        return [str(shutil.which("make")), "-s", "serve"]
    options = ["--port", "0", "--cpus", "2", "--object-store", "400", "--data", str(short / data)]
    return [sys.executable, "-m", "deployments.cli", "serve", recipe, *options]


def demo_command(short: Path, *, by_make: bool = False) -> list[str]:
    if by_make:
        return [str(shutil.which("make")), "-s", "demo"]
    return [sys.executable, "-m", "examples.demo", "--output", str(short / "demo")]


def port_is_free(port: int) -> bool:
    try:
        RunningGraph(Launch({"http_options": {"port": port}})).stop()
    except GraphError:
        return False
    return True


@pytest.mark.parametrize("number", range(MOMENTS or FEW))
def test_ctrl_c_leaves_nothing(number: int, short: Path, tmp_path: Path) -> None:
    moment = random.Random(f"{SEED}/{number}").uniform(0, LATE_S if MOMENTS else EARLY_S)
    tours = number % 2 == 1
    command = (demo_command if tours else serve_command)(short, by_make=number < 2)
    with foreground(command, tmp_path / "output", environment_in(short)) as running:
        ended = until(lambda: not lives(running.process), moment)
        # The tour has an end of its own.
        assert tours or not ended, running.output()
        said = (running.output().splitlines() or ["nothing said yet"])[-1].strip()
        if not ended:
            running.interrupt()
        interrupted = time.monotonic()
        running.process.wait(STOP_S)
        took = time.monotonic() - interrupted
        print(f"\nCOSMOS3_TEST_SEED={SEED}: {' '.join(command[1:3])}, {moment:.2f} s, gone in {took:.2f}: {said[:60]}")
        assert running.family() == set(), running.output()


def test_graphs_run_beside_each_other_and_beside_another_ray(short: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = environment_in(short) | {
        # Whatever looks for a Ray on this machine finds the other one.
        "RAY_TMPDIR": str(short / "ray"),
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    head = ["start", "--head", "--block", f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    ray = [str(Path(sys.executable).parent / "ray"), *head, "--object-store-memory=100000000"]
    with ExitStack() as stack:
        other = stack.enter_context(
            foreground(ray, tmp_path / "ray", {k: v for k, v in environment.items() if k != "RAY_ADDRESS"})
        )
        assert until(lambda: "Ray runtime started" in other.output(), 60), other.output()
        others = other.family()
        graphs = []
        for name in ("first", "second"):
            recipe = tmp_path / f"{name}.yaml"
            recipe.write_text(yaml.safe_dump(echo(who=name, child=True)))
            command = serve_command(short, recipe=str(recipe), data=name)
            graphs.append(stack.enter_context(foreground(command, tmp_path / name, environment)))
        urls = [url(graph, "curl ") for graph in graphs]
        assert urls[0] != urls[1] and [who(each) for each in urls] == ["first", "second"]
        end(graphs[1])
        assert who(urls[0]) == "first"
        end(graphs[0])
        assert others <= other.family(), other.output()
        with placement_groups(environment["RAY_ADDRESS"], environment) as groups:
            assert groups.states() == []


def url(running: Foreground, words: str) -> str:
    """What follows some words in the output, once it does."""
    pattern = re.compile(re.escape(words) + r"(http://[\d.:]+)")
    assert until(lambda: pattern.search(running.output()) or not lives(running.process), START_TIMEOUT_S)
    found = pattern.search(running.output())
    assert found is not None, running.output()
    return found[1]


def who(url: str) -> str:
    answer: str = httpx.get(url, timeout=30).json()["args"]["who"]
    return answer


def end(running: Foreground) -> None:
    """Ctrl-C, and nothing is left."""
    running.interrupt()
    running.process.wait(STOP_S)
    assert running.family() == set(), running.output()
