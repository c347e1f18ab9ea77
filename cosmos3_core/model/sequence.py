"""The packed generation sequence: which token is what, where it sits, which tokens are noisy.

Pure bookkeeping between latents (what the sampler holds) and tokens (what the tower reads): patches, order, positions.
Order is given vision items, vision, sound, action; positions are explicit, so it carries no meaning (spec 4.7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import pad

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE, Modality, SequenceLayout

Latents = dict[Modality, Tensor]
"""A tensor per modality: vision `[48, frames, height, width]`, sound `[64, frames]`, action `[rows, 64]`."""


def sha256_of(latents: Latents) -> dict[str, str]:
    """Hash per modality of latents on the CPU; equal hashes mean bit-identical results."""
    return {m.value: hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest() for m, x in latents.items()}


_TIME = {Modality.VISION: 1, Modality.SOUND: 1, Modality.ACTION: 0}


def joined(parts: Sequence[Latents]) -> Latents:
    """The latents of parts, one after the other in time."""
    return {name: torch.cat([part[name] for part in parts], dim=_TIME[name]) for name in parts[0]}


@dataclass(frozen=True)
class NoisyTokens:
    """Masks of what is generated rather than given, each as wide as its modality's tokens (bool)."""

    vision: Tensor
    sound: Tensor
    action: Tensor


def patchify(latent: Tensor, patch: int) -> Tensor:
    """`[channels, frames, height, width]` to tokens `[frames x rows x columns, patch² x channels]`.

    Inside a token: patch-row offset, patch-column offset, channel (fastest) (spec 2.7).
    """
    _, _, height, width = latent.shape
    padded = pad(latent, (0, -width % patch, 0, -height % patch))
    channels, frames, rows, columns = padded.shape
    blocks = padded.reshape(channels, frames, rows // patch, patch, columns // patch, patch)
    return blocks.permute(1, 2, 4, 3, 5, 0).flatten(3).flatten(0, 2)


def unpatchify(tokens: Tensor, layout: SequenceLayout, patch: int) -> Tensor:
    """Inverse of `patchify`, without the padding: `[channels, frames, height, width]`."""
    rows, columns = layout.grid(patch)
    blocks = tokens.view(layout.frames, rows, columns, patch, patch, -1).permute(5, 0, 1, 3, 2, 4)
    return blocks.flatten(4, 5).flatten(2, 3)[:, :, : layout.height, : layout.width]


def noisy_tokens(layout: SequenceLayout, patch: int, device: torch.device) -> NoisyTokens:
    """Which tokens get a time embedding and a velocity."""
    rows, columns = layout.grid(patch)
    frame = torch.ones(layout.frames, dtype=torch.bool)
    frame[list(layout.clean_frames)] = False
    row = torch.ones(layout.action_rows, dtype=torch.bool)
    row[list(layout.clean_rows)] = False
    return NoisyTokens(
        vision=frame.repeat_interleave(rows * columns).to(device),
        sound=torch.full((layout.sound_frames,), not layout.clean_sound, device=device),
        action=row.to(device),
    )


def _times(count: int, per_second: float, base_per_second: float, first: int, offset: float) -> Tensor:
    """fp32 time positions; the order of the operations is part of the model (spec 13, point 16)."""
    return (torch.arange(count, dtype=torch.float32) + first) / per_second * base_per_second + offset


def media_positions(config: TransformerConfig, layout: SequenceLayout, text_tokens: int) -> Tensor:
    """Positions of the generation tokens behind a text of `text_tokens` tokens (spec 3.2).

    All modalities share one temporal offset; a given item that does not share the times moves what follows behind its
    last frame. A modality with a single element is not scaled by the frame rate
    (spec 13, point 17).

    Returns:
        `[3, tokens]`, fp32: time, row, column.
    """
    offset = text_tokens + config.unified_3d_mrope_temporal_modality_margin
    base = config.base_fps

    def times(count: int, per_second: float, base_per_second: float, first: int = 0) -> Tensor:
        if count == 1 or not config.enable_fps_modulation:
            return torch.arange(count, dtype=torch.float32) + (offset + first)
        return _times(count, per_second, base_per_second, first, offset)

    rows, columns = layout.grid(config.latent_patch_size)
    stride = VAE_TEMPORAL_STRIDE
    given_times: list[Tensor] = []
    frame_times = times(layout.frames, layout.fps / stride, base / stride)
    for _ in layout.given_weights:
        given_times.append(frame_times)
        if not layout.shared_times:
            offset = ceil(float(frame_times[-1])) + 1
            frame_times = times(layout.frames, layout.fps / stride, base / stride)
    sound_times = times(layout.sound_frames, config.sound_latent_fps, base)
    action_times = times(layout.action_rows, layout.fps, base / stride, layout.first_row_frame)
    vision_times = torch.cat([*given_times, frame_times])
    grid = torch.meshgrid(vision_times, torch.arange(rows).float(), torch.arange(columns).float(), indexing="ij")
    vision = torch.stack([axis.flatten() for axis in grid])
    along_time = torch.cat([sound_times, action_times])
    flat = torch.zeros_like(along_time)
    return torch.cat([vision, torch.stack([along_time, flat, flat])], dim=1)
