"""Primitives both towers are made of: RMSNorm, heads, the two MLPs, the per-domain linear map, the time embedding.

Towers and attention are in other modules. Attribute names are the checkpoint's tensor names (spec 1.6), so a tower's
parameter names *are* the names in the file and loading needs no translation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from cosmos3_core.model.config import TransformerConfig


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis with the family's rounding order (spec 2.4).

    Qwen towers round to the weight's dtype *before* multiplying by the weight, Nemotron towers once at the end.
    """

    def __init__(self, size: int, eps: float, nemotron: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps
        self.nemotron = nemotron

    def forward(self, x: Tensor) -> Tensor:
        """`[..., size]` to the same shape and dtype."""
        x32 = x.float()
        unit = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        if self.nemotron:
            return (self.weight.float() * unit).to(x.dtype)
        return unit.to(self.weight.dtype) * self.weight


def rms_norm(config: TransformerConfig, size: int) -> RMSNorm:
    """The norm of this checkpoint's family over `size` channels."""
    return RMSNorm(size, config.rms_norm_eps, config.nemotron_norm)


def split_heads(x: Tensor, head_dim: int) -> Tensor:
    """`[..., tokens, heads x head_dim]` to `[..., heads, tokens, head_dim]`."""
    heads: Tensor = x.unflatten(-1, (x.shape[-1] // head_dim, head_dim))
    return heads.transpose(-3, -2)


class GatedMLP(nn.Module):
    """SwiGLU of the Qwen towers: `down(silu(gate(x)) * up(x))` (spec 2.3)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., hidden]` to `[..., hidden]`."""
        out: Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class SquaredReluMLP(nn.Module):
    """Ungated MLP of the Nemotron towers: `down(relu(up(x))²)` (spec 2.3)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., hidden]` to `[..., hidden]`."""
        out: Tensor = self.down_proj(self.up_proj(x).relu().square())
        return out


def mlp(config: TransformerConfig) -> nn.Module:
    """The feed-forward block of this checkpoint's family."""
    kind = SquaredReluMLP if config.hidden_act == "relu2" else GatedMLP
    return kind(config.hidden_size, config.intermediate_size)


class DomainLinear(nn.Module):
    """One weight matrix and bias per robot embodiment (spec 2.7).

    `fc.weight[d]` is viewed as `[in, out]`, input-major: not the layout of `nn.Linear`.
    """

    def __init__(self, in_features: int, out_features: int, domains: int) -> None:
        super().__init__()
        self.fc = nn.Embedding(domains, in_features * out_features)
        self.bias = nn.Embedding(domains, out_features)
        self.in_features = in_features
        self.out_features = out_features

    def forward(self, x: Tensor, domain: int) -> Tensor:
        """`[rows, in]` to `[rows, out]` with the matrix of one domain."""
        weight = self.fc.weight[domain].view(self.in_features, self.out_features)
        return x @ weight + self.bias.weight[domain]


class TimestepEmbedder(nn.Module):
    """Sinusoid of the scaled timestep through a two-layer MLP, in fp32 (spec 2.8).

    diffusers embeds the timestep once for every noisy token. One row is enough, but a product of a single row sums in
    another order than a product of many, and the network amplifies that last bit; a few equal rows sum alike.
    """

    channels = 256
    rows = 16

    def __init__(self, hidden_size: int, timestep_scale: float) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(self.channels, hidden_size)
        self.linear_2 = nn.Linear(hidden_size, hidden_size)
        self.timestep_scale = timestep_scale

    def sinusoid(self, timestep: float) -> Tensor:
        """`[256]`, fp32: cosines first, then sines."""
        half = self.channels // 2
        device = self.linear_1.weight.device
        exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=device) / half
        # Filled on the device: a copy from the host would wait for the step before.
        tau = torch.full((), timestep, dtype=torch.float32, device=device) * self.timestep_scale
        angles = tau * exponent.exp()
        return torch.cat([angles.cos(), angles.sin()])

    def forward(self, timestep: float) -> Tensor:
        """A timestep in 0..1000 to `[hidden]`, fp32."""
        rows = self.sinusoid(timestep).expand(self.rows, -1)
        out: Tensor = self.linear_2(silu(self.linear_1(rows)))[0]
        return out
