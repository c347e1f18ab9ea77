"""The understanding tower as a prefill: text tokens in, per-layer keys and values out.

A generation token reads this tower's keys and values and nothing else, and they depend on the text alone (spec 2.6).
So the tower runs once per prompt, and it holds only what those keys and values need: no `lm_head`, no final norm, and
of the last layer just the input norm and the K/V projections. It is not the Reasoner, which runs in vLLM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmos3_core.model.attention import attend
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layers import mlp, rms_norm, split_heads
from cosmos3_core.model.rope import Rotation, rotation


class KeyValueProjection(nn.Module):
    """Keys and values of one layer, as this tower and as the generation tower read them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        width = config.num_key_value_heads * config.head_dim
        self.to_k = nn.Linear(config.hidden_size, width, bias=False)
        self.to_v = nn.Linear(config.hidden_size, width, bias=False)
        self.norm_k = rms_norm(config, config.head_dim) if config.qk_norm_for_text else nn.Identity()
        if config.understanding_key_norm_for_generation:
            self.k_norm_und_for_gen = rms_norm(config, config.head_dim)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[tokens, hidden]` to un-rotated keys and values, each `[kv_heads, tokens, head_dim]`."""
        key = self.norm_k(split_heads(self.to_k(x), self.head_dim))
        return key, split_heads(self.to_v(x), self.head_dim)

    def key_for_generation(self, key: Tensor) -> Tensor:
        """The un-rotated key the generation tower reads: Edge normalises it once more (spec 2.2, item 4)."""
        if hasattr(self, "k_norm_und_for_gen"):
            out: Tensor = self.k_norm_und_for_gen(key)
            return out
        return key


class UnderstandingAttention(KeyValueProjection):
    """Causal self-attention over the text, which also yields the keys and values for the generation tower."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        width = config.num_attention_heads * config.head_dim
        self.to_q = nn.Linear(config.hidden_size, width, bias=False)
        self.to_out = nn.Linear(width, config.hidden_size, bias=False)
        self.norm_q = rms_norm(config, config.head_dim) if config.qk_norm_for_text else nn.Identity()

    def forward(self, x: Tensor, key: Tensor, value: Tensor, rope: Rotation, backend: AttentionBackend) -> Tensor:
        """`x` `[tokens, hidden]` with this layer's un-rotated key and its value, to `[tokens, hidden]`."""
        query = rope.apply(self.norm_q(split_heads(self.to_q(x), self.head_dim)))
        seen = attend(query, rope.apply(key), value, causal=True, backend=backend)
        out: Tensor = self.to_out(seen.transpose(0, 1).flatten(-2))
        return out


class KeyValueLayer(nn.Module):
    """The part of a layer that yields keys and values: all of the last layer, since nothing reads its output."""

    def __init__(self, config: TransformerConfig, attention: type[KeyValueProjection] = KeyValueProjection) -> None:
        super().__init__()
        self.input_layernorm = rms_norm(config, config.hidden_size)
        self.self_attn = attention(config)


class UnderstandingLayer(KeyValueLayer):
    """One full layer of the tower."""

    self_attn: UnderstandingAttention

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, UnderstandingAttention)
        self.post_attention_layernorm = rms_norm(config, config.hidden_size)
        self.mlp = mlp(config)


class UnderstandingTower(nn.Module):
    """Token ids to the keys and values that a generation token attends to."""

    def __init__(self, config: TransformerConfig, attention: AttentionBackend = AttentionBackend.AUTO) -> None:
        super().__init__()
        self.config = config
        self.attention = attention
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = [UnderstandingLayer(config) for _ in range(config.num_hidden_layers - 1)]
        self.layers = nn.ModuleList([*layers, KeyValueLayer(config)])

    @torch.no_grad()
    def forward(self, token_ids: Tensor) -> Tensor:
        """Prefill.

        Args:
            token_ids: `[tokens]`, int64.

        Returns:
            `[layers, 2, kv_heads, tokens, head_dim]` in the compute dtype: keys (normalised, rotated), then values.
        """
        config, dtype = self.config, self.embed_tokens.weight.dtype
        positions = torch.arange(len(token_ids), dtype=torch.float32, device=token_ids.device).expand(3, -1)
        rope = rotation(config, positions, dtype)
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, len(token_ids), config.head_dim)
        out = torch.empty(shape, dtype=dtype, device=token_ids.device)
        x = self.embed_tokens(token_ids)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, KeyValueLayer)
            normed = layer.input_layernorm(x)
            key, value = layer.self_attn.project(normed)
            out[index, 0] = rope.apply(layer.self_attn.key_for_generation(key))
            out[index, 1] = value
            if isinstance(layer, UnderstandingLayer):
                x = x + layer.self_attn(normed, key, value, rope, self.attention)
                x = x + layer.mlp(layer.post_attention_layernorm(x))
        return out
