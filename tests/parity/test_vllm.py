"""vLLM reads the tiny checkpoint as it is and says what transformers says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.parity.vllm_greedy import NEW_TOKENS
from tests.parity.vllm_offline import image, prompts_of, vllm_answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("family", ["nano", "edge"])
def test_vllm_gives_transformers_greedy_tokens(family: str, nano: Path, edge: Path) -> None:
    root = {"nano": nano, "edge": edge}[family]
    answer = vllm_answers(nano, edge)[root]
    processor = AutoProcessor.from_pretrained(str(root))
    prompts = prompts_of(processor)
    model: Any = AutoModelForImageTextToText.from_pretrained(str(root), dtype=torch.float32)
    for name, images in (("text", None), ("image", [Image.fromarray(image())])):
        inputs = processor(text=[prompts[name]], images=images, return_tensors="pt", return_mm_token_type_ids=True)
        generated = model.generate(**inputs, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)
        length = inputs["input_ids"].shape[1]
        assert answer["prompts"][name] == inputs["input_ids"][0].tolist()
        assert answer["tokens"][name] == generated[0, length:].tolist()
