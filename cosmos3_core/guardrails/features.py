"""What frames are classified by: the features of an image encoder, one vector for each frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.pixels import Frames, stretch
from cosmos3_core.geometry import Canvas
from cosmos3_core.guardrails.verdict import GuardrailError
from cosmos3_core.settings import ExecutionSettings

# Small: it sees the colours of a frame, not its details.
VAE_CANVAS = Canvas(width=16, height=16)


class FrameFeatures(Protocol):
    """An image encoder."""

    def of(self, frames: Frames) -> Tensor:
        """Features of uint8 `[frames, height, width, 3]`: fp32 `[frames, size]` on the encoder's device."""


class SiglipFeatures:
    """The pooled, normalised image features of SigLIP, as NVIDIA's video guardrail takes them.

    Args:
        model: a `SiglipVisionModel`.
        processor: its image processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model.eval()
        self._processor = processor

    @classmethod
    def read(cls, name: str, device: torch.device, cache: Path | None = None) -> SiglipFeatures:
        """Read a folder, or what a cache of the hub holds under a name.

        Raises:
            GuardrailError: it is not there, or is no SigLIP.
        """
        from transformers import SiglipImageProcessor, SiglipVisionModel

        options: dict[str, Any] = {"local_files_only": True, "cache_dir": cache}
        try:
            model: Any = SiglipVisionModel.from_pretrained(name, dtype=torch.float32, **options)
            processor = SiglipImageProcessor.from_pretrained(name, **options)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise GuardrailError(f"frames_classifier: no SigLIP encoder {name}: {reason}") from error
        return cls(model.to(device), processor)

    @torch.no_grad()
    def of(self, frames: Frames) -> Tensor:
        """See `FrameFeatures`."""
        inputs = self._processor(images=list(frames), return_tensors="pt", input_data_format="channels_last")
        pooled: Tensor = self._model(pixel_values=inputs["pixel_values"].to(self._model.device)).pooler_output
        return torch.nn.functional.normalize(pooled, dim=-1)


class VaeFeatures:
    """The mean of each channel of a checkpoint's own video latents; for tests and tiny recipes.

    Args:
        checkpoint: any with the VAE.
        device: where it is encoded.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        from cosmos3_core.codecs.video_vae import VideoEncoder

        settings = ExecutionSettings(device=str(device), dtype="float32", text_cache_bytes=0)
        self._encoder = VideoEncoder.from_checkpoint(checkpoint, settings)

    @torch.no_grad()
    def of(self, frames: Frames) -> Tensor:
        """See `FrameFeatures`."""
        latents = (self._encoder.encode(stretch(np.asarray(frame)[None], VAE_CANVAS)) for frame in frames)
        return torch.stack([latent.mean(dim=(1, 2, 3)) for latent in latents])
