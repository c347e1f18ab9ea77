"""`vllm serve` on a checkpoint: the server that the graph's Reasoner is compared with, here and in the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from deployments.local.ports import free_port

START_TIMEOUT_S = 300.0
STOP_S = 20.0
# The package of CPU builds has another name than the one whose version the command `vllm` asks for.
SERVER = ("-m", "vllm.entrypoints.openai.api_server")


def written(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments as `vllm serve` reads them."""
    words = []
    for name, value in arguments.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(value if isinstance(value, str) else json.dumps(value))
    return words


@contextmanager
def vllm_serve(
    checkpoint: Path, arguments: Mapping[str, Any], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of a running server.

    Args:
        checkpoint: the folder.
        arguments: those of `vllm serve`, by their names with underscores.
        log: the file that gets its output.
        environment: variables besides those of this process.

    Raises:
        RuntimeError: it ended, or was not healthy in time.
    """
    port = free_port()
    listening = {"host": "127.0.0.1", "port": port}
    command = [sys.executable, *SERVER, "--model", str(checkpoint), *written({**arguments, **listening})]
    with log.open("wb") as output:
        process = psutil.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log)
        yield url
    finally:
        _end(process)


def _wait(url: str, process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"vllm serve is not healthy: {log.read_text(errors='replace')[-4000:]}")


def _end(process: psutil.Popen) -> None:
    family = [*process.children(recursive=True), process] if process.poll() is None else []
    for one in family:
        one.terminate()
    _, alive = psutil.wait_procs(family, timeout=STOP_S)
    for one in alive:
        one.kill()
