"""Images to the embeddings that vLLM accepts as `image_embeds`, outside the Reasoner (spec 10.3 to 10.5).

The checkpoint's ViT and image processor come from transformers. Generation never uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoImageProcessor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.vit import vision_module
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, load

COMPONENT = "vision_encoder"


@dataclass(frozen=True)
class ImageEmbeddings:
    """One image as the Reasoner reads it.

    Attributes:
        embeddings: `[tokens, hidden x (1 + deepstack layers)]`, in the ViT's dtype.
        grid: temporal, vertical and horizontal patches.
    """

    embeddings: Tensor
    grid: tuple[int, int, int]


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
        # Named, because the processor's guess is wrong for a picture three pixels high.
        inputs = self.processor(images=[image], return_tensors="pt", input_data_format="channels_last")
        weight = next(self.module.parameters())
        patches = inputs["pixel_values"].to(weight.device, weight.dtype)
        grid = inputs["image_grid_thw"].to(weight.device)
        temporal, rows, columns = (int(n) for n in inputs["image_grid_thw"][0])
        return ImageEmbeddings(self.module(patches, grid), (temporal, rows, columns))


def _rebuild_buffers(module: nn.Module) -> None:
    """Build the rotary modules again: the meta device lost their non-persistent frequencies, and no file has them."""
    for name, child in list(module.named_modules()):
        if any(buffer is not None and buffer.is_meta for buffer in child._buffers.values()):
            module.set_submodule(name, type(child)(child.config))
