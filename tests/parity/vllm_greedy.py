"""Greedy tokens of vLLM for one text and one image prompt, as JSON; run as a program, apart from transformers.

vLLM registers configuration classes of its own under transformers' names, so the two cannot share a process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NEW_TOKENS = 24


def main(job: Path) -> None:
    """Read checkpoint, prompts and image from `job`, write `tokens.json` beside it."""
    from vllm import LLM, SamplingParams

    task = json.loads((job / "job.json").read_text())
    image = Image.fromarray(np.load(job / "image.npy"))
    limits = {"image": 1, "video": 0}
    llm = LLM(
        model=task["checkpoint"],
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        max_num_seqs=2,
        limit_mm_per_prompt=limits,
    )
    greedy = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
    prompts: list[Any] = [{"prompt": task["text"]}, {"prompt": task["image"], "multi_modal_data": {"image": image}}]
    outputs = {name: llm.generate([prompt], greedy)[0] for name, prompt in zip(("text", "image"), prompts, strict=True)}
    tokens = {name: list(output.outputs[0].token_ids) for name, output in outputs.items()}
    prompt_tokens = {name: list(output.prompt_token_ids or []) for name, output in outputs.items()}
    (job / "tokens.json").write_text(json.dumps({"tokens": tokens, "prompts": prompt_tokens}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
