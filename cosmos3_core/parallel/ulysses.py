"""Sequence parallelism over generation tokens (Jacobs et al. 2023, DeepSpeed-Ulysses).

A rank holds consecutive tokens for everything that works token by token. For attention the ranks exchange tokens for
heads: each sees all tokens with some of the heads, and needs the understanding keys and values of those heads only.
Ranks need not hold equally many tokens; a rank may hold none.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cosmos3_core.model.generation import ControlBlend, GenerationLayer, GenerationTower, JointAttention
from cosmos3_core.model.rope import Rotation
from cosmos3_core.parallel.degrees import part, sizes
from cosmos3_core.parallel.mesh import Mesh

# Hidden states, cosines and sines, and what else the tower's forward pass takes.
TowerInput = tuple[Tensor, Rotation, *tuple[Any, ...]]


def apply_ulysses(tower: GenerationTower, mesh: Mesh) -> TokenSplit:
    """Split the tower's tokens over the ranks before its forward pass, and gather them after it.

    Returns:
        The split, which can be switched off for a forward pass.
    """
    tokens = TokenSplit(mesh)
    if mesh.degrees.ulysses == 1:
        return tokens
    tower.register_forward_pre_hook(tokens.scatter)
    tower.register_forward_hook(tokens.gather)
    for layer in tower.layers:
        assert isinstance(layer, GenerationLayer)
        layer.self_attn.joint = UlyssesAttention(layer.self_attn.joint, mesh, tokens)
    return tokens


class TokenSplit:
    """How the tokens of the current forward pass are split.

    Attributes:
        lengths: tokens of each rank.
        active: whether they are split at all; otherwise every rank computes all of them and exchanges nothing.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.active = True
        self.lengths: list[int] = []

    def scatter(self, module: nn.Module, arguments: TowerInput) -> TowerInput:
        """Forward pre-hook of the tower: this rank's tokens of `[branches, tokens, hidden]`."""
        if not self.active:
            return arguments
        hidden, rope, *others = arguments
        count, parts = hidden.shape[1], self.mesh.degrees.ulysses
        self.lengths = sizes(count, parts)
        mine = part(count, parts, self.mesh.coordinates.ulysses)
        return hidden[:, mine], Rotation(rope.cos[:, :, mine], rope.sin[:, :, mine]), *others

    def gather(self, module: nn.Module, arguments: TowerInput, hidden: Tensor) -> Tensor:
        """Forward hook of the tower: all tokens again.

        Hidden states are gathered, not the narrower velocities: they are a few per cent of what attention exchanges,
        and for velocities a rank would have to know which of its tokens are sound and action.
        """
        if not self.active:
            return hidden
        longest = max(self.lengths)
        padded = hidden.new_zeros(hidden.shape[0], longest, hidden.shape[2])
        padded[:, : hidden.shape[1]] = hidden
        pieces = [torch.empty_like(padded) for _ in self.lengths]
        dist.all_gather(pieces, padded, group=self.mesh.group("ulysses"))
        return torch.cat([piece[:, :length] for piece, length in zip(pieces, self.lengths, strict=True)], dim=1)


class UlyssesAttention(JointAttention):
    """Joint attention over all tokens for this rank's heads."""

    def __init__(self, whole: JointAttention, mesh: Mesh, tokens: TokenSplit) -> None:
        super().__init__(whole.backend)
        self.group = mesh.group("ulysses")
        self.index = mesh.coordinates.ulysses
        self.parts = mesh.degrees.ulysses
        self.tokens = tokens

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, text: Tensor, blend: ControlBlend | None = None
    ) -> Tensor:
        """One branch: this rank's tokens with all heads of its tensor-parallel group, in and out.

        Args:
            query: `[heads, tokens here, head_dim]`.
            key: `[kv_heads, tokens here, head_dim]`.
            value: as `key`.
            text: `[2, kv_heads here, text tokens, head_dim]`: only the heads this rank attends with.
            blend: several controls at the start of all tokens.
        """
        if not self.tokens.active:
            return super().forward(query, key, value, text, blend)
        per_key = query.shape[0] // key.shape[0]
        key_heads = sizes(key.shape[0], self.parts)
        outgoing = [
            torch.cat(piece)
            for piece in zip(
                query.split([per_key * heads for heads in key_heads]),
                key.split(key_heads),
                value.split(key_heads),
                strict=True,
            )
        ]
        mine, width = key_heads[self.index], query.shape[-1]
        arrived = self._exchange(outgoing, [((per_key + 2) * mine, length, width) for length in self.tokens.lengths])
        queries, keys, values = torch.cat(arrived, dim=1).split([per_key * mine, mine, mine])
        seen = super().forward(queries, keys, values, text, blend)
        here = self.tokens.lengths[self.index]
        back = self._exchange(
            list(seen.split(self.tokens.lengths, dim=1)), [(per_key * heads, here, width) for heads in key_heads]
        )
        return torch.cat(back)

    def _exchange(self, outgoing: list[Tensor], shapes: list[tuple[int, int, int]]) -> list[Tensor]:
        """Send a tensor to every rank and receive one of a known shape from each."""
        sent = torch.cat([tensor.reshape(-1) for tensor in outgoing])
        counts = [heads * length * width for heads, length, width in shapes]
        received = sent.new_empty(sum(counts))
        dist.all_to_all_single(received, sent, counts, [tensor.numel() for tensor in outgoing], group=self.group)
        return [flat.view(shape) for flat, shape in zip(received.split(counts), shapes, strict=True)]
