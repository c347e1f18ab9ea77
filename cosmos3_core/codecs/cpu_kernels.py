"""Faster CPU kernels for two operations of the VAE; on other devices and in other dtypes nothing changes.

torch chooses a kernel by the input's size. For one small clip its 3-D convolution is about ten times slower than
oneDNN's, and its norm over the channels is slower still. Results differ in the last bit.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from torch import Tensor, nn


def use_fast_cpu_kernels(vae: nn.Module) -> None:
    """Replace the inner operations of a VAE's layers, if it is in fp32 on a CPU."""
    weight = next(vae.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return
    for layer in vae.modules():
        if isinstance(layer, nn.Conv3d) and layer.padding_mode == "zeros":
            layer.__dict__["_conv_forward"] = MethodType(_convolve, layer)
        elif isinstance(layer, WanRMS_norm) and layer.channel_first:
            layer.__dict__["forward"] = MethodType(_normalise, layer)


def _convolve(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.mkldnn_convolution(x, weight, bias, layer.padding, layer.stride, layer.dilation, layer.groups)
    return out


def _normalise(layer: Any, x: Tensor) -> Tensor:
    norm = (x * x).sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
    out: Tensor = x / norm * layer.scale * layer.gamma + layer.bias
    return out
