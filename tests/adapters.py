"""Tiny adapters with random matrices, written as different trainers write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from cosmos3_core.adapters.file import linear_shapes
from cosmos3_core.model.config import TransformerConfig

RANK, ALPHA = 4, 6.0
ATTENTION = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


def every_module(config: TransformerConfig) -> list[str]:
    """All modules that an adapter can change."""
    return list(linear_shapes(config))


def attention_modules(config: TransformerConfig) -> list[str]:
    """The projections around attention, which NVIDIA's framework trains by default."""
    return [name for name in every_module(config) if name.endswith(ATTENTION)]


def matrices(
    config: TransformerConfig, modules: Sequence[str], rank: int = RANK, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Random A `[rank, in]` and B `[out, rank]` of some modules; their product is about a third of a weight."""
    generator, shapes = torch.Generator().manual_seed(seed), linear_shapes(config)
    found = {}
    for module in modules:
        out, into = shapes[module]
        down = torch.randn(rank, into, generator=generator) / into**0.5
        found[module] = down, torch.randn(out, rank, generator=generator) / (10 * rank**0.5)
    return found


def tensors(
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    prefix: str = "base_model.model.",
    suffixes: tuple[str, str] = (".lora_A.weight", ".lora_B.weight"),
) -> dict[str, Tensor]:
    """Matrices by their names in a file."""
    return {
        f"{prefix}{module}{suffix}": tensor
        for module, pair in pairs.items()
        for suffix, tensor in zip(suffixes, pair, strict=True)
    }


def write_adapter(
    folder: Path,
    stored: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    name: str = "adapter_model.safetensors",
) -> Path:
    """Write a file with its configuration beside it, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = {tensor: values.clone() for tensor, values in stored.items()}
    save_file(copies, folder / name, None if metadata is None else dict(metadata))
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"} | dict(config)))
    return folder


def write_peft(
    folder: Path, config: TransformerConfig, modules: Sequence[str] | None = None, *, rank: int = RANK, seed: int = 0
) -> Path:
    """Write an adapter as PEFT does; of every module unless some are named."""
    chosen = every_module(config) if modules is None else modules
    stored = tensors(matrices(config, chosen, rank, seed))
    return write_adapter(folder, stored, {"r": rank, "lora_alpha": ALPHA})
