"""`vllm serve` on a tiny checkpoint, with what our own engines are given: the server that ours is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.vllm_server import vllm_serve
from deployments.wire.chat_media import MAX_IMAGES, MAX_VIDEOS

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


@contextmanager
def reference(checkpoint: Path, name: str, log: Path, **changed: Any) -> Iterator[str]:
    """The URL of a running `vllm serve`."""
    arguments = {
        "served_model_name": name,
        "limit_mm_per_prompt": {"image": MAX_IMAGES, "video": MAX_VIDEOS},
        "trust_request_mm_kwargs": True,
        **ENGINE,
        **SERVER,
        **changed,
    }
    with vllm_serve(checkpoint, arguments, log, {"OMP_NUM_THREADS": "1"}) as url:
        yield url
