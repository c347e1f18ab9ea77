"""The Reasoner's eyes outside the Reasoner: the checkpoint's ViT and processor from transformers (spec 10.3 to 10.5).

Images become the embeddings vLLM accepts as `image_embeds`. Generation never uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor
from transformers.models.cosmos3_edge.modeling_cosmos3_edge import (
    Cosmos3EdgePatchMerger,
    Cosmos3EdgeVisionModel,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, load

COMPONENT = "vision_encoder"


@dataclass(frozen=True)
class ImageEmbeddings:
    """What the Reasoner reads of one image.

    Attributes:
        embeddings: `[tokens, hidden x (1 + deepstack layers)]`, in the ViT's dtype.
        grid: temporal, vertical and horizontal patches.
    """

    embeddings: Tensor
    grid: tuple[int, int, int]


class VisionModule(nn.Module):
    """A checkpoint's ViT; subclasses know how its tensors are called in the file."""

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


class VisionEncoder:
    """Images to the Reasoner's image embeddings."""

    def __init__(self, module: nn.Module, processor: Any, report: LoadReport) -> None:
        self.module = module
        self.processor = processor
        self.report = report

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> VisionEncoder:
        """Load the ViT only."""
        with torch.device("meta"):
            module = vision_module(checkpoint.root)
        _rebuild_buffers(module)
        report = load(
            module,
            checkpoint.folder(COMPONENT),
            device=settings.torch_device,
            dtype=settings.torch_dtype,
            rename=module.stored_name,
            memory_limit=settings.memory_limit_bytes,
        )
        return cls(module.to(settings.torch_device), AutoImageProcessor.from_pretrained(checkpoint.root), report)

    @torch.no_grad()
    def encode(self, image: NDArray[np.uint8]) -> ImageEmbeddings:
        """Embed one image, uint8 `[height, width, 3]`."""
        # Said outright: of a picture three pixels high it would be guessed wrong.
        inputs = self.processor(images=[image], return_tensors="pt", input_data_format="channels_last")
        weight = next(self.module.parameters())
        patches = inputs["pixel_values"].to(weight.device, weight.dtype)
        grid = inputs["image_grid_thw"].to(weight.device)
        temporal, rows, columns = (int(n) for n in inputs["image_grid_thw"][0])
        return ImageEmbeddings(self.module(patches, grid), (temporal, rows, columns))


def _rebuild_buffers(module: nn.Module) -> None:
    """Build rotary modules anew: the meta device lost their non-persistent frequencies, and no file has them."""
    for name, child in list(module.named_modules()):
        if any(buffer is not None and buffer.is_meta for buffer in child._buffers.values()):
            module.set_submodule(name, type(child)(child.config))
