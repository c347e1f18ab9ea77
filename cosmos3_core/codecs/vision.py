"""Images and videos to the embeddings that vLLM accepts, outside the Reasoner (spec 10.3 to 10.5).

The checkpoint's ViT and its image and video processors come from transformers. Generation never uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoVideoProcessor

from cosmos3_core.arrays import tensor_of
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.vit import vision_module
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, load

COMPONENT = "vision_encoder"


@dataclass(frozen=True)
class PixelBounds:
    """How large media are read: bounds on pixels, of an image or of all frames of a video; None is the checkpoint's."""

    least: int | None = None
    most: int | None = None


@dataclass(frozen=True)
class VisualEmbeddings:
    """An image or a video as the Reasoner reads it.

    Attributes:
        embeddings: `[tokens, hidden x (1 + deepstack layers)]`, in the ViT's dtype.
        grid: temporal, vertical and horizontal patches.
    """

    embeddings: Tensor
    grid: tuple[int, int, int]


class VisionEncoder:
    """Images and videos to the Reasoner's embeddings."""

    def __init__(self, module: nn.Module, images: Any, videos: Any, report: LoadReport) -> None:
        self.module = module
        self._images = images
        self._videos = videos
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
        return cls(
            module.to(settings.torch_device),
            images=AutoImageProcessor.from_pretrained(checkpoint.root),
            videos=AutoVideoProcessor.from_pretrained(checkpoint.root),
            report=report,
        )

    @property
    def frames_per_patch(self) -> int:
        """Frames that share a temporal patch."""
        return int(self._videos.temporal_patch_size)

    def pixels_read(self, pixels: int, bounds: PixelBounds | None = None) -> int:
        """About how many pixels of an image of so many are embedded, once it is resized."""
        size = _size(self._images, bounds).get("size") or self._images.size
        least, most = (_edge(size, edge) for edge in ("shortest_edge", "longest_edge"))
        return min(max(pixels, least), most)

    def encode(self, image: NDArray[np.uint8], bounds: PixelBounds | None = None) -> VisualEmbeddings:
        """Embed one image, uint8 `[height, width, 3]`."""
        return self.encode_together([image], bounds)[0]

    @torch.no_grad()
    def encode_together(
        self, images: Sequence[NDArray[np.uint8]], bounds: PixelBounds | None = None
    ) -> list[VisualEmbeddings]:
        """Embed images in one pass of the ViT, in which each attends to itself alone."""
        # Named, because the processor's guess is wrong for a picture three pixels high.
        options = {"return_tensors": "pt", "input_data_format": "channels_last", **_size(self._images, bounds)}
        inputs = self._images(images=list(images), **options)
        return self._embed(inputs["pixel_values"], inputs["image_grid_thw"])

    @torch.no_grad()
    def encode_video(self, frames: NDArray[np.uint8], bounds: PixelBounds | None = None) -> VisualEmbeddings:
        """Embed the frames of one video that were chosen to be read, uint8 `[T, height, width, 3]`."""
        if len(frames) < self.frames_per_patch:
            frames = np.repeat(frames, self.frames_per_patch, axis=0)
        clip = tensor_of(frames).permute(0, 3, 1, 2)
        options = {"return_tensors": "pt", "do_sample_frames": False, **_size(self._videos, bounds)}
        inputs = self._videos(videos=[clip], **options)
        return self._embed(inputs["pixel_values_videos"], inputs["video_grid_thw"])[0]

    def _embed(self, pixels: Tensor, grids: Tensor) -> list[VisualEmbeddings]:
        weight = next(self.module.parameters())
        embeddings: Tensor = self.module(pixels.to(weight.device, weight.dtype), grids.to(weight.device))
        shapes = [(int(t), int(rows), int(columns)) for t, rows, columns in grids]
        patches = [t * rows * columns for t, rows, columns in shapes]
        # The ViT merges the same number of patches into each token.
        merged = sum(patches) // len(embeddings)
        parts = embeddings.split([count // merged for count in patches])
        return [VisualEmbeddings(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def _size(processor: Any, bounds: PixelBounds | None) -> dict[str, Any]:
    """The processor's argument for other bounds than its own."""
    if bounds is None or (bounds.least is None and bounds.most is None):
        return {}
    given = {"shortest_edge": bounds.least, "longest_edge": bounds.most}
    own = {edge: _edge(processor.size, edge) for edge in given}
    return {"size": {edge: own[edge] if given[edge] is None else given[edge] for edge in given}}


def _edge(size: Any, edge: str) -> int:
    """A bound of a processor's size, which is an object or a dictionary."""
    return int(size[edge] if isinstance(size, dict) else getattr(size, edge))


def _rebuild_buffers(module: nn.Module) -> None:
    """Build the rotary modules again: the meta device lost their non-persistent frequencies, and no file has them."""
    for name, child in list(module.named_modules()):
        if any(buffer is not None and buffer.is_meta for buffer in child._buffers.values()):
            module.set_submodule(name, type(child)(child.config))
