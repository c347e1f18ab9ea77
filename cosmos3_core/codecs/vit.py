"""A checkpoint's ViT as a module, built from the root `config.json` with transformers' classes (spec 10.3, 10.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig
from transformers.models.cosmos3_edge.modeling_cosmos3_edge import (
    Cosmos3EdgePatchMerger,
    Cosmos3EdgeVisionModel,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel


class VisionModule(nn.Module):
    """A checkpoint's ViT; each subclass knows the names of its tensors in the file."""

    def stored_name(self, name: str) -> str:
        """The name in `vision_encoder/` of one of this module's tensors."""
        raise NotImplementedError


class _EdgeVision(VisionModule):
    """SigLIP2 encoder and projector."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.visual = Cosmos3EdgeVisionModel(config.vision_config)
        self.projector = Cosmos3EdgePatchMerger(config)

    def forward(self, patches: Tensor, grid: Tensor) -> Tensor:
        hidden = self.visual(patches, grid_thw=grid).last_hidden_state
        embeddings: Tensor = self.projector(hidden)
        return embeddings

    def stored_name(self, name: str) -> str:
        return f"model.{name}"


class _QwenVision(VisionModule):
    """Qwen3-VL ViT; the deepstack features follow the main ones along the last axis, as vLLM expects."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.visual = Qwen3VLVisionModel(config.vision_config)

    def forward(self, patches: Tensor, grid: Tensor) -> Tensor:
        output = self.visual(patches, grid_thw=grid)
        return torch.cat([output.pooler_output, *output.deepstack_features], dim=-1)

    def stored_name(self, name: str) -> str:
        return name.removeprefix("visual.")


def vision_module(root: Path) -> VisionModule:
    """The ViT that a checkpoint's root `config.json` describes, without weights."""
    config = AutoConfig.from_pretrained(root)
    return _EdgeVision(config) if config.model_type == "cosmos3_edge" else _QwenVision(config)
