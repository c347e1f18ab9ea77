"""vLLM reads the tiny checkpoint as it is and says what transformers says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.parity.cases import picture
from tests.parity.vllm_greedy import NEW_TOKENS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
QUESTION = "What does the robot hold?"
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


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


def vllm_tokens(root: Path, prompts: dict[str, str], image: Image.Image, job: Path) -> dict[str, Any]:
    (job / "job.json").write_text(json.dumps({"checkpoint": str(root), **prompts}))
    np.save(job / "image.npy", np.asarray(image))
    program = Path(__file__).with_name("vllm_greedy.py")
    done = subprocess.run(
        [sys.executable, "-m", f"tests.parity.{program.stem}", str(job)],
        env=os.environ | ENVIRONMENT,
        cwd=program.parents[2],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads((job / "tokens.json").read_text()))


@pytest.mark.parametrize("family", ["nano", "edge"])
def test_vllm_gives_transformers_greedy_tokens(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(family)
    processor = AutoProcessor.from_pretrained(str(root))
    prompts, image = prompts_of(processor), Image.fromarray(picture(224, 320, seed=9))
    answer = vllm_tokens(root, prompts, image, tmp_path)
    model: Any = AutoModelForImageTextToText.from_pretrained(str(root), dtype=torch.float32)
    for name, images in (("text", None), ("image", [image])):
        inputs = processor(text=[prompts[name]], images=images, return_tensors="pt", return_mm_token_type_ids=True)
        generated = model.generate(**inputs, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)
        length = inputs["input_ids"].shape[1]
        assert answer["prompts"][name] == inputs["input_ids"][0].tolist()
        assert answer["tokens"][name] == generated[0, length:].tolist()
