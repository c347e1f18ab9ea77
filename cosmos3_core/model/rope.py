"""Interleaved three-axis rotary embedding (time, row, column) with fractional positions (spec 3.1).

Angles are products in fp32 of fp32 frequencies and fp32 positions. Positions start at 15,000, where one fp32 ulp is
about 1e-3 rad, so the expressions here are part of the model: neither fp64 nor another order of operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos3_core.model.config import TransformerConfig


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of some tokens, each `[tokens, head_dim]`, in the compute dtype."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Rotate `[..., heads, tokens, head_dim]`: half-rotation as in NeoX."""
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin


def rotation(config: TransformerConfig, positions: Tensor, dtype: torch.dtype) -> Rotation:
    """Angles of tokens at `positions`.

    Args:
        config: gives `rope_theta`, `head_dim` and how many frequencies each axis owns.
        positions: `[3, tokens]`, fp32 (time, row, column); may be fractional.
        dtype: the compute dtype that cosines and sines are rounded to.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequencies = (1.0 / (config.rope_theta**exponents)).to(positions.device)
    angles = positions.float()[:, :, None] * frequencies
    mixed = angles[0].clone()
    for axis in (1, 2):
        owned = slice(axis, 3 * config.rope_axes_dim[axis], 3)
        mixed[:, owned] = angles[axis][:, owned]
    full = torch.cat([mixed, mixed], dim=-1)
    return Rotation(cos=full.cos().to(dtype), sin=full.sin().to(dtype))


def stack_branches(rotations: list[Rotation]) -> Rotation:
    """Rotations of several branches, for `[branches, heads, tokens, head_dim]`."""
    cos = torch.stack([r.cos for r in rotations])[:, None]
    sin = torch.stack([r.sin for r in rotations])[:, None]
    return Rotation(cos, sin)
