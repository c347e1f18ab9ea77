"""Previews of a running generation: the predicted clean latent through a fixed linear map, without the VAE.

The map is fitted once for a checkpoint's VAE: its encoder is shown pictures with the statistics of natural ones, and
the mean colour under each latent pixel is regressed on that pixel's channels. It gives rough colours only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.codecs.preview_map import PreviewMap

if TYPE_CHECKING:
    # diffusers takes seconds to import, and code that only passes a map on does not need it.
    from cosmos3_core.codecs.video_vae import VideoEncoder

STRIDE = 16
SIDE = 256
PICTURES = 6
RIDGE = 1e-2
LONGEST_SIDE = 320


def fit_preview_map(encoder: VideoEncoder) -> PreviewMap:
    """Regress colour on latents by ridge regression over a few pictures; the same VAE gives the same map."""
    latents, colours = [], []
    for seed in range(PICTURES):
        picture = _natural(seed)
        clip = torch.from_numpy(picture).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
        latents.append(encoder.encode(clip)[:, 0].flatten(1).T.cpu().numpy())
        blocks = picture.reshape(SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE, 3)
        colours.append(blocks.mean(axis=(1, 3)).reshape(-1, 3))
    x, y = np.concatenate(latents).astype(np.float64), np.concatenate(colours)
    centre, mean = x.mean(axis=0), y.mean(axis=0)
    spread = (x - centre).T @ (x - centre)
    damping = RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    weight = np.linalg.solve(spread + damping, (x - centre).T @ (y - mean))
    return PreviewMap(weight.astype(np.float32), (mean - centre @ weight).astype(np.float32))


def preview(clean: Tensor, colours: PreviewMap) -> Frames:
    """The middle frame of a predicted clean latent `[channels, frames, height, width]` as uint8 `[H, W, 3]`."""
    latent = clean[:, clean.shape[1] // 2].float().permute(1, 2, 0).numpy()
    pixels = np.clip(latent @ colours.weight + colours.bias, 0, 255).astype(np.uint8)
    factor = max(1, min(STRIDE, LONGEST_SIDE // max(pixels.shape[:2])))
    picture = Image.fromarray(pixels)
    enlarged = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


def _natural(seed: int) -> Frames:
    """A random picture whose power falls with the square of the frequency, as that of photographs does (Field 1987)."""
    rng = np.random.default_rng(seed)
    vertical, horizontal = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    amplitude = 1 / np.maximum(np.hypot(vertical, horizontal), 1 / SIDE)
    noise = np.fft.rfft2(rng.standard_normal((3, SIDE, SIDE)))
    planes = np.fft.irfft2(noise * amplitude, s=(SIDE, SIDE))
    planes /= planes.std()
    # In photographs the three colours vary together more than each by itself.
    mixed = 0.8 * planes.mean(axis=0) * 3**0.5 + 0.6 * planes
    return np.asarray(np.clip(127.5 + 60 * mixed.transpose(1, 2, 0), 0, 255), dtype=np.uint8)
