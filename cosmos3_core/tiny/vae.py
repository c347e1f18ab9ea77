"""Make a randomly drawn VAE reconstruct colours: what it decodes is a coarse mosaic of what it encoded.

A random VAE decodes noise, in which a right picture looks like a wrong one. Here the residual paths stay random but
weak (`weights.VAE_RULES`), and a few convolutions are set so that colour follows the parameter-free shortcuts.
Channels come in roles of eight: +R +G +B -R -G -B and two constants. A signed pair makes the final norm and
SiLU invertible, since silu(y) - silu(-y) = y, and the constants keep the norm from erasing brightness.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROLES = 8
COLOURS = 3
CONSTANT = 2.0


def set_colour_path(tensors: dict[str, Tensor]) -> None:
    """Set the colour path of a drawn VAE in place."""
    _encoder(tensors)
    _decoder(tensors)


def _clear(tensors: dict[str, Tensor], layer: str, keep: float) -> tuple[Tensor, Tensor]:
    weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
    weight.mul_(keep)
    bias.zero_()
    return weight, bias


def _centre(weight: Tensor) -> Tensor:
    """The `[out, in]` tap of a causal convolution that sees the current frame and pixel."""
    if weight.shape[-1] == 1:
        return weight[:, :, 0, 0, 0]
    return weight[:, :, -1, 1, 1]


def _encoder(tensors: dict[str, Tensor]) -> None:
    weight, bias = _clear(tensors, "encoder.conv_in", 0.1)
    patch = weight.shape[1] // COLOURS
    for channel in range(weight.shape[0]):
        role = channel % ROLES
        if role >= 2 * COLOURS:
            bias[channel] = CONSTANT
            continue
        colour, sign = role % COLOURS, 1 if role < COLOURS else -1
        _centre(weight)[channel, colour * patch : (colour + 1) * patch] += sign / patch
    weight, _ = _clear(tensors, "encoder.conv_out", 0.02)
    width = weight.shape[1]
    # Two halvings of time split each input channel into four, oldest frame first.
    for latent in range(weight.shape[0] // 2):
        colour, slot = latent % COLOURS, latent // COLOURS % 4
        gain = 2.0 * COLOURS * ROLES / width
        _centre(weight)[latent, [4 * c + slot for c in range(colour, width // 4, ROLES)]] += gain
        _centre(weight)[latent, [4 * c + slot for c in range(colour + COLOURS, width // 4, ROLES)]] -= gain
    weight, _ = _clear(tensors, "quant_conv", 0.05)
    _centre(weight).add_(torch.eye(weight.shape[0], dtype=weight.dtype))


def _decoder(tensors: dict[str, Tensor]) -> None:
    weight, _ = _clear(tensors, "post_quant_conv", 0.05)
    _centre(weight).add_(torch.eye(weight.shape[0], dtype=weight.dtype))
    weight, bias = _clear(tensors, "decoder.conv_in", 0.02)
    latents = weight.shape[1]
    newest = [i for i in range(latents) if i // COLOURS % 4 == 3]
    for channel in range(weight.shape[0]):
        # The third upsampling takes each output row pair from two neighbouring channels.
        role = channel // 2 % ROLES
        if role >= 2 * COLOURS:
            bias[channel] = CONSTANT
            continue
        sources = [i for i in newest if i % COLOURS == role % COLOURS]
        _centre(weight)[channel, sources] += (1 if role < COLOURS else -1) / len(sources)
    for name in [n for n in tensors if n.startswith("decoder.up_blocks.3") and n.endswith("conv_shortcut.weight")]:
        weight, _ = _clear(tensors, name.removesuffix(".weight"), 0.05)
        for channel in range(weight.shape[0]):
            _centre(weight)[channel, channel % ROLES :: ROLES] += ROLES / weight.shape[1]
    weight, _ = _clear(tensors, "decoder.conv_out", 0.1)
    patch, width = weight.shape[0] // COLOURS, weight.shape[1]
    for channel in range(weight.shape[0]):
        colour = channel // patch
        _centre(weight)[channel, colour::ROLES] += 0.9 * ROLES / width
        _centre(weight)[channel, colour + COLOURS :: ROLES] -= 0.9 * ROLES / width
