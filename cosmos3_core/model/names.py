"""The tensors of a checkpoint's `transformer/` folder, also those that neither tower reads (spec 1.6).

The towers' parameter names are the checkpoint's names, so nothing is translated.
"""

from __future__ import annotations

import torch

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.understanding import UnderstandingLayer, UnderstandingTower

LEGACY_NAMES = {"action_pos_embed", "action_pos_embed.weight"}


def reasoner_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """The tensors that a Reasoner reads: the understanding tower with its last layer whole, and the head."""
    with torch.device("meta"):
        tensors = UnderstandingTower(config).state_dict()
        last = UnderstandingLayer(config).state_dict()
    tensors |= {f"layers.{config.num_hidden_layers - 1}.{name}": tensor for name, tensor in last.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    head = {"lm_head.weight": (config.vocab_size, config.hidden_size), "norm.weight": (config.hidden_size,)}
    return shapes | head


def published_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of `transformer/`: what a Reasoner reads, and the generation tower."""
    with torch.device("meta"):
        generation = GenerationTower(config).state_dict()
    return reasoner_shapes(config) | {name: tuple(tensor.shape) for name, tensor in generation.items()}


def published_names(config: TransformerConfig) -> set[str]:
    """Names that may be in `transformer/`; any other is refused."""
    return set(published_shapes(config)) | LEGACY_NAMES


def keeps_fp32(name: str) -> bool:
    """Whether a tensor stays in fp32 whatever the compute dtype: the time embedding (spec 2.5)."""
    return name.startswith("time_embedder.")
