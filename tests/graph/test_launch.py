"""Graphs that start and end: what comes up, what is reported, and that nothing outlives them."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from deployments.local.errors import GraphError
from deployments.local.launch import Launch, running_graph
from tests.graph.echo_config import echo
from tests.graph.processes import lives, until

ROOT = Path(__file__).parents[2]
MARK = "COSMOS3_TEST_MARK"
# What a stop may take: the grace, the kill, and a machine with two cores.
STOP_SECONDS = 25.0
START_SECONDS = 60.0
OBJECT_STORE = 200 * 1024**2


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for everything temporary but pytest's own, found empty in the end; replicas import the tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with tempfile.TemporaryDirectory(prefix="g", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        assert os.listdir(folder) == []


def answer(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return dict(json.load(response))


@pytest.mark.slow
def test_a_graph_serves_and_leaves_nothing(temporary: Path) -> None:
    """Two beside each other are in test_interrupts.py."""
    args = {"who": 0, "child": True, "subprocess": True}
    with running_graph(Launch(echo(**args), 4, object_store_bytes=OBJECT_STORE)) as graph:
        graph.wait_ready(START_SECONDS)
        said = answer(graph.url)
        assert (said["args"], said["graph"]) == (args, graph.identity)
        assert all(map(lives, said["pids"]))
        graph.check()
    assert graph.processes() == []
    assert not any(map(lives, said["pids"]))


@pytest.mark.slow
def test_a_constructor_that_raises_is_reported_with_its_message(temporary: Path) -> None:
    with (
        pytest.raises(
            GraphError, match=r"(?s)application front could not be deployed.*ValueError: no weights"
        ) as caught,
        running_graph(Launch(echo(fail="no weights"), 4, object_store_bytes=OBJECT_STORE)) as graph,
    ):
        graph.wait_ready(START_SECONDS)
    assert graph.processes() == []
    assert str(graph.log) in str(caught.value)
    assert "no weights" in graph.log.read_text()
    graph.log.unlink()


@pytest.mark.slow
def test_a_graph_that_is_late_or_dies_is_reported(temporary: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_graph(Launch(echo(sleep=600), 4, object_store_bytes=OBJECT_STORE, log=log)) as graph:
        with pytest.raises(GraphError, match=r"not ready within 0\.1 s: starting"):
            graph.wait_ready(0.1)
        assert until(lambda: any(one.deployments for one in graph.status().applications), START_SECONDS)
        # Of this graph alone: other tests keep another one running meanwhile.
        before = graph.processes()
        keeper = min(before, key=lambda process: process.create_time())
        keeper.kill()
        with pytest.raises(GraphError, match="ended by itself"):
            graph.wait_ready(START_SECONDS)
    assert not any(map(lives, before))
    assert graph.processes() == []


class Command:
    """`cosmos3 serve` in a process of its own, as a terminal has it."""

    def __init__(self, folder: Path, mark: str) -> None:
        recipe = folder / "echo.yaml"
        recipe.write_text(yaml.safe_dump(echo(child=True, subprocess=True)))
        program = "import typer; from deployments.cli.serve import serve; typer.run(serve)"
        options = [str(recipe), "--port", "0", "--cpus", "4", "--object-store", "200", "--data", str(folder / "data")]
        self._output = folder / "output"
        with self._output.open("w") as output:
            self.process = psutil.Popen(
                [sys.executable, "-c", program, *options],
                env={**os.environ, MARK: mark},
                stdout=output,
                stderr=output,
            )
        self._mark = mark
        self._seen: list[psutil.Process] = []

    def wait(self, seconds: float) -> None:
        """Wait until it serves, that long at most."""
        until(lambda: "serving after" in self.output(), seconds)
        self._seen = self.process.children(recursive=True)

    def output(self) -> str:
        return self._output.read_text()

    def left(self) -> list[psutil.Process]:
        """What lives of those that descended from it, or that carry its mark."""
        return [one for one in psutil.process_iter() if one in self._seen or self._marked(one) if lives(one)]

    def _marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark
        except psutil.Error:
            return False


@pytest.fixture
def command(temporary: Path, tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, f"{os.getpid()}-{time.monotonic_ns()}")
    yield command
    for process in command.left():
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("earliest", "latest"), [(0.0, 1.0), (1.0, 4.0), (4.0, 8.0)])
def test_ctrl_c_while_it_starts_leaves_nothing(command: Command, earliest: float, latest: float) -> None:
    seed = int(os.environ.get("COSMOS3_TEST_SEED") or random.SystemRandom().randrange(2**32))
    moment = random.Random(seed).uniform(earliest, latest)
    print(f"COSMOS3_TEST_SEED={seed}: SIGINT after {moment:.3f} s")
    command.wait(moment)
    started = "starting" in command.output()
    command.process.send_signal(signal.SIGINT)
    status = command.process.wait(STOP_SECONDS)
    assert command.left() == [], command.output()
    # Before that, Python's own imports end by the signal, with statuses of theirs.
    assert status == 130 or not started, command.output()


@pytest.mark.slow
def test_a_second_ctrl_c_while_it_stops_leaves_nothing(command: Command) -> None:
    command.wait(START_SECONDS)
    command.process.send_signal(signal.SIGINT)
    assert until(lambda: "stopping" in command.output(), 5)
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(STOP_SECONDS) == 130, command.output()
    assert command.left() == []


@pytest.mark.slow
def test_sigterm_ends_it_with_its_status(command: Command) -> None:
    assert until(lambda: "starting Ray" in command.output(), START_SECONDS)
    command.wait(2.0)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(STOP_SECONDS) == 143, command.output()
    assert command.left() == []


@pytest.mark.slow
def test_the_death_of_the_caller_leaves_nothing(command: Command) -> None:
    command.wait(START_SECONDS)
    assert len(command.left()) > 5
    command.process.kill()
    command.process.wait()
    assert until(lambda: command.left() == [], STOP_SECONDS), command.left()
