"""`cosmos3 serve`: where data are kept, and what is shown while a graph starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deployments.cli.serve import StartProgress, default_data_folder, stage_changes
from deployments.local.status import ApplicationStatus, DeploymentStatus, GraphStatus


def test_data_is_kept_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_folder(Path("recipes/tiny-cpu.yaml"), 8000) == tmp_path / "cosmos3" / "tiny-cpu-8000"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_folder(Path("tiny-cpu.yaml"), 1) == Path.home() / ".local/share/cosmos3/tiny-cpu-1"


def status(deployment: str, application: str = "DEPLOYING") -> GraphStatus:
    stage = DeploymentStatus("Encoder", deployment, "", {"STARTING": 1})
    return GraphStatus("deploying", "", (ApplicationStatus("nano", application, "", (stage,)),))


def printed(statuses: dict[float, GraphStatus]) -> list[list[str]]:
    """The seconds and the words of each line that is printed where there is no terminal."""
    now = 0.0
    out = StringIO()
    progress = StartProgress(Console(file=out), clock=lambda: now)
    for now, current in statuses.items():  # noqa: B007 - the clock reads it
        progress.update(current)
    return [line.strip().split("  ")[-2:] for line in out.getvalue().splitlines()]


def test_a_stage_of_a_serving_graph_that_dies_and_comes_back_is_told() -> None:
    def serving(state: str, running: str, message: str = "") -> GraphStatus:
        encoder = DeploymentStatus("Encoder", state, message, {running: 1})
        other = DeploymentStatus("Decoder", "HEALTHY", "", {"RUNNING": 1})
        return GraphStatus("serving", "", (ApplicationStatus("nano", "RUNNING", "", (encoder, other)),))

    healthy, dead = serving("HEALTHY", "RUNNING"), serving("UNHEALTHY", "STARTING", "A replica died.")
    assert stage_changes(healthy, healthy) == []
    assert stage_changes(healthy, dead) == ["nano/Encoder UNHEALTHY 1 starting A replica died."]
    assert stage_changes(dead, healthy) == ["nano/Encoder HEALTHY 1 running"]


def test_without_a_terminal_each_change_is_a_line() -> None:
    updating, healthy = status("UPDATING"), status("HEALTHY")
    assert printed({1.0: updating, 2.0: updating, 3.0: healthy, 9.0: healthy}) == [
        ["1 s", "deploying: nano/Encoder UPDATING 1 starting"],
        ["3 s", "deploying: nano/Encoder HEALTHY 1 starting"],
    ]


def test_without_a_terminal_a_line_a_minute_says_what_is_awaited() -> None:
    updating, healthy = status("UPDATING"), status("HEALTHY")
    assert printed({1.0: updating, 60.0: updating, 61.0: updating, 100.0: updating, 121.5: updating}) == [
        ["1 s", "deploying: nano/Encoder UPDATING 1 starting"],
        ["61 s", "still deploying, unchanged for 60 s; waiting for nano/Encoder"],
        ["122 s", "still deploying, unchanged for 120 s; waiting for nano/Encoder"],
    ]
    assert printed({1.0: healthy, 70.0: healthy})[1:] == [["70 s", "still deploying, unchanged for 69 s"]]
    assert printed({1.0: GraphStatus("starting Ray"), 70.0: GraphStatus("starting Ray")}) == [
        ["1 s", "starting Ray"],
        ["70 s", "still starting Ray, unchanged for 69 s"],
    ]


def test_the_table_keeps_the_second_at_which_a_stage_was_healthy() -> None:
    now = 0.0
    progress = StartProgress(Console(file=StringIO(), force_terminal=True), clock=lambda: now)
    for second in (4.0, 70.0):
        now = second
        progress.update(status("HEALTHY"))
    out = StringIO()
    Console(file=out, width=100).print(progress)
    assert "70 s" in out.getvalue().splitlines()[0]
    assert out.getvalue().splitlines()[-1].split() == ["nano", "Encoder", "HEALTHY", "1", "starting", "4"]


# The command with a graph that never becomes ready; how it ends on a signal is its own.
STARTING = """
import contextlib, os, time, typer
from deployments.cli import serve as command

class Starting:
    log = "a log"
    def wait_ready(self, timeout, on_status):
        print(os.getpid(), flush=True)
        time.sleep(60)

@contextlib.contextmanager
def starting(launch):
    yield Starting()

command.running_graph = starting
typer.run(command.serve)
"""


@pytest.mark.parametrize("background", [True, False])
def test_an_interrupt_ends_it_in_the_background_of_a_script_too(background: bool, tmp_path: Path) -> None:
    # A shell without a terminal lets its background ignore SIGINT.
    start = '"$0" -c "$1" tiny-cpu --port 0 --data "$2"'
    script = f"{start} & wait $!" if background else f"exec {start}"
    with subprocess.Popen(
        ["sh", "-c", script, sys.executable, STARTING, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdout is not None and shell.stderr is not None
        os.kill(int(shell.stdout.readline()), signal.SIGINT)
        assert shell.wait(30) == 130
        assert "stopping" in shell.stderr.read()
