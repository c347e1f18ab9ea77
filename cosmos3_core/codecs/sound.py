"""The sound tokenizer from diffusers, one half per stage, always in fp32 (spec 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import Cosmos3AVAEAudioTokenizer
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.arrays import tensor_of
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.halves import load_half
from cosmos3_core.media.sound import fitted
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport

COMPONENT = "sound_tokenizer"
FP32 = torch.float32


class SoundEncoder:
    """Waveforms to sound latents, by the posterior's mean."""

    def __init__(self, tokenizer: Any, report: LoadReport) -> None:
        self.tokenizer = tokenizer
        self.report = report

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> SoundEncoder:
        """Load the encoder half only."""
        tokenizer, report = load_half(
            Cosmos3AVAEAudioTokenizer, COMPONENT, checkpoint, settings, without=("decoder",), dtype=FP32
        )
        return cls(tokenizer, report)

    @torch.no_grad()
    def encode(self, waveform: NDArray[np.float32]) -> Tensor:
        """fp32 `[2, samples]` at 48 kHz to `[64, samples / 1920 rounded up]`, fp32."""
        sample = tensor_of(waveform)[None].to(self.tokenizer.device)
        latents: Tensor = self.tokenizer.encode(sample).latent_dist.mode()[0]
        return latents


class SoundDecoder:
    """Sound latents to waveforms."""

    def __init__(self, tokenizer: Any, report: LoadReport) -> None:
        self.tokenizer = tokenizer
        self.report = report
        self.sampling_rate = int(tokenizer.config.sampling_rate)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> SoundDecoder:
        """Load the decoder half only."""
        tokenizer, report = load_half(
            Cosmos3AVAEAudioTokenizer, COMPONENT, checkpoint, settings, without=("encoder",), dtype=FP32
        )
        return cls(tokenizer, report)

    @torch.no_grad()
    def decode(self, latents: Tensor, samples: int | None = None) -> NDArray[np.float32]:
        """Decode a soundtrack.

        Args:
            latents: `[64, frames]`, fp32.
            samples: cut or zero-pad the result to this length; None keeps `1920 frames`.

        Returns:
            fp32 `[2, samples]` in [-1, 1].
        """
        waveform = self.tokenizer.decode(latents[None].to(self.tokenizer.device).float())[0].cpu().numpy()
        return fitted(np.asarray(waveform), samples)
