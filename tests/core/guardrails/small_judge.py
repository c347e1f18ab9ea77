"""A language model of a few thousand weights that has learnt to judge prompts in Qwen3Guard's form."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SAFE, UNSAFE = "Safety: Safe Categories: None", "Safety: Unsafe Categories: Violent"
TEMPLATE = "{% for message in messages %}judge {{ message['content'] }} verdict {% endfor %}"
WORDS = ["a", "robot", "waves", "fights", "burns"]
BAD = {"fights", "burns"}
STEPS = 60
LONGEST = 3
"""Words of the longest text that it has learnt to judge."""


def write_judge(folder: Path) -> Path:
    """Train the model, which takes some seconds, and write it as transformers reads it."""
    torch.manual_seed(0)
    vocabulary = ["<unk>", "<end>", "judge", "verdict", *WORDS, *dict.fromkeys(f"{SAFE} {UNSAFE}".split())]
    tokenizer = _tokenizer(vocabulary)
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=256,
        eos_token_id=1,
        pad_token_id=1,
    )
    model = Qwen3ForCausalLM(config)
    _train(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: list[str]) -> Any:
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _train(model: Any, tokenizer: Any) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batches = [tokenizer(_lines(length), return_tensors="pt")["input_ids"] for length in range(1, LONGEST + 1)]
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss: Any = sum(model(input_ids=batch, labels=batch).loss for batch in batches)
        loss.backward()
        optimizer.step()


def _lines(length: int) -> list[str]:
    """Every text of so many words with its verdict."""
    texts = product(WORDS, repeat=length)
    return [f"judge {' '.join(text)} verdict {UNSAFE if BAD & set(text) else SAFE} <end>" for text in texts]
