"""What vLLM answers offline, without a graph, on both tiny checkpoints: asked once, in two processes at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoProcessor

from tests.parity.cases import picture

ROOT = Path(__file__).parents[2]
QUESTION = "What does the robot hold?"
TIMEOUT_S = 500
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def image() -> NDArray[np.uint8]:
    """The picture that is asked about."""
    return picture(224, 320, seed=9)


def prompts_of(processor: Any) -> dict[str, str]:
    """The chat-formatted prompts, without and with an image."""
    question = {"type": "text", "text": QUESTION}
    contents = {"text": [question], "image": [{"type": "image"}, question]}
    return {
        name: processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        for name, content in contents.items()
    }


@cache
def vllm_answers(*checkpoints: Path) -> dict[Path, dict[str, Any]]:
    """By checkpoint: the tokens of the prompts and those of the greedy answers, each by the prompt's name."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = {root: Path(folder) / str(number) for number, root in enumerate(checkpoints)}
        processes = {root: _started(root, job) for root, job in jobs.items()}
        try:
            for process in processes.values():
                process.wait(TIMEOUT_S)
            for root, job in jobs.items():
                assert processes[root].returncode == 0, (job / "log").read_text()[-4000:]
        finally:
            for process in processes.values():
                process.kill()
        return {root: json.loads((job / "tokens.json").read_text()) for root, job in jobs.items()}


def _started(root: Path, job: Path) -> subprocess.Popen[bytes]:
    job.mkdir()
    prompts = prompts_of(AutoProcessor.from_pretrained(str(root)))
    (job / "job.json").write_text(json.dumps({"checkpoint": str(root), **prompts}))
    np.save(job / "image.npy", image())
    command = [sys.executable, "-m", "tests.parity.vllm_greedy", str(job)]
    with (job / "log").open("w") as log:
        return subprocess.Popen(command, env=os.environ | ENVIRONMENT, cwd=ROOT, stdout=log, stderr=log)
