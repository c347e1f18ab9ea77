"""`vllm serve` on a tiny checkpoint, with what our own engines are given: the server that ours is compared with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deployments.local.ports import free_port
from deployments.wire.chat_media import MAX_IMAGES, MAX_VIDEOS
from tests.graph.processes import foreground, lives, until
from tests.graph.starting import START_TIMEOUT_S

SERVER: dict[str, Any] = {
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    "default_chat_template_kwargs": {"enable_thinking": False},
}
"""The arguments of `vllm serve` beside its engine's, for both."""
ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 4096,
    "max_num_seqs": 8,
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
}


def arguments(values: dict[str, Any]) -> list[str]:
    """Arguments as `vllm serve` reads them."""
    written = []
    for name, value in values.items():
        written.append(f"--{name.replace('_', '-')}")
        if value is not True:
            written.append(value if isinstance(value, str) else json.dumps(value))
    return written


@contextmanager
def vllm_serve(checkpoint: Path, name: str, log: Path, **changed: Any) -> Iterator[str]:
    """The URL of a running `vllm serve`."""
    port = free_port()
    values = {
        "served_model_name": name,
        "port": port,
        "host": "127.0.0.1",
        "limit_mm_per_prompt": {"image": MAX_IMAGES, "video": MAX_VIDEOS},
        "trust_request_mm_kwargs": True,
        **ENGINE,
        **SERVER,
        **changed,
    }
    # The package of CPU builds has another name than the one whose version the command `vllm` asks for.
    server = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command = [*server, "--model", str(checkpoint), *arguments(values)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with foreground(command, log, environment) as running:
        url = f"http://127.0.0.1:{port}"
        ready = until(lambda: _healthy(url) or not lives(running.process), START_TIMEOUT_S)
        assert ready and lives(running.process), running.output()[-4000:]
        yield url


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
