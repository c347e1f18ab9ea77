"""What the launcher does before it starts a process; tests/graph/test_launch.py starts graphs."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local.errors import GraphError
from deployments.local.launch import Launch, RunningGraph, running_graph
from tests.graph.echo_config import echo

ROOT = Path(__file__).parents[2]


def test_the_launcher_imports_no_ray() -> None:
    program = "import sys, deployments.cli.serve; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_a_taken_port_is_reported_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(GraphError, match=f"port {port} on .* is taken"), running_graph(Launch(echo(port))):
            pass


def test_two_graphs_cannot_claim_a_port_that_nobody_listens_on_yet() -> None:
    first = RunningGraph(Launch(echo()))
    port = int(first.url.rpartition(":")[2])
    with pytest.raises(GraphError, match="is taken"):
        RunningGraph(Launch(echo(port)))
    first.stop()
    RunningGraph(Launch(echo(port))).stop()


def test_an_address_of_another_machine_is_refused_in_a_sentence() -> None:
    config = echo()
    config["http_options"]["host"] = "192.0.2.99"
    with pytest.raises(GraphError, match=r"cannot listen on 192\.0\.2\.99"):
        RunningGraph(Launch(config))
