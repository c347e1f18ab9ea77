"""The Wan VAE from diffusers, one half per stage: the encoder for conditions, the decoder for results (spec 6).

Latents here are normalised by channel. Decoding yields frames chunk by chunk, so memory does not grow with length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor, nn

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.cpu_kernels import use_fast_cpu_kernels
from cosmos3_core.codecs.halves import load_half
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport

COMPONENT = "vae"
_ENCODER, _DECODER = ("encoder", "quant_conv"), ("decoder", "post_quant_conv")


class _ChannelStatistics(nn.Module):
    """Per-channel mean and standard deviation of the latents (spec 6.4), fp32."""

    mean: Tensor
    std: Tensor

    def __init__(self, vae: Any, device: torch.device) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(getattr(vae.config, f"latents_{name}"), dtype=torch.float32, device=device)
            self.register_buffer(name, values.view(1, -1, 1, 1, 1))


class _Half:
    """One half of the VAE with the statistics of its latents."""

    without: ClassVar[tuple[str, ...]]

    def __init__(self, vae: Any, report: LoadReport) -> None:
        self.vae = vae
        self.report = report
        self.statistics = _ChannelStatistics(vae, vae.device)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> Self:
        """Load this half only."""
        dtype = settings.torch_dtype
        vae, report = load_half(AutoencoderKLWan, COMPONENT, checkpoint, settings, without=cls.without, dtype=dtype)
        use_fast_cpu_kernels(vae)
        return cls(vae, report)


class VideoEncoder(_Half):
    """Pixels to normalised latents, by the posterior's mean."""

    without = _DECODER

    @torch.no_grad()
    def encode(self, clip: Tensor) -> Tensor:
        """Encode a clip of 4k + 1 frames.

        Args:
            clip: `[1, 3, frames, height, width]` in [-1, 1]; sides are multiples of 16.

        Returns:
            `[48, 1 + (frames - 1) / 4, height / 16, width / 16]`, fp32.
        """
        mean = self.vae.encode(clip.to(self.vae.device, self.vae.dtype)).latent_dist.mode().float()
        normalised: Tensor = (mean - self.statistics.mean) / self.statistics.std
        return normalised[0]


class VideoDecoder(_Half):
    """Normalised latents to pixels, chunk by chunk."""

    without = _ENCODER

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Decode one latent frame at a time: 1 frame first, then 4 at a time.

        Args:
            latents: `[48, frames, height, width]`, fp32, normalised.

        Yields:
            `[1, 3, 1 or 4, 16 height, 16 width]` in [-1, 1], in the compute dtype.
        """
        vae = self.vae
        raw = (latents[None].to(vae.device) * self.statistics.std + self.statistics.mean).to(vae.dtype)
        hidden = vae.post_quant_conv(raw)
        # The causal convolutions' caches belong to this call, so that two decodings can be interleaved.
        caches: list[Any] = [None] * vae._cached_conv_counts["decoder"]
        for index in range(hidden.shape[2]):
            chunk = vae.decoder(
                hidden[:, :, index : index + 1], feat_cache=caches, feat_idx=[0], first_chunk=index == 0
            )
            yield unpatchify(chunk, patch_size=vae.config.patch_size).clamp(-1, 1)
