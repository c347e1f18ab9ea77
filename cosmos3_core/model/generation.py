"""The generation tower as one denoising step over [understanding K/V ; generation tokens].

It reads noisy and clean latents and predicts the velocity of the noisy ones (spec 2.2, 2.7). It holds no
understanding weights, no sampler and no parallelism: text arrives as keys and values, and sharding is applied from
outside by replacing submodules.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cosmos3_core.model.attention import attend
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layers import DomainLinear, TimestepEmbedder, mlp, rms_norm, split_heads
from cosmos3_core.model.layout import Modality, SequenceLayout
from cosmos3_core.model.rope import Rotation
from cosmos3_core.model.sequence import Latents, NoisyTokens, patchify, unpatchify


class JointAttention(nn.Module):
    """Generation queries over [understanding ; generation] keys; sequence parallelism replaces this module."""

    def __init__(self, backend: AttentionBackend) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, query: Tensor, key: Tensor, value: Tensor, text: Tensor) -> Tensor:
        """One branch.

        Args:
            query: `[heads, tokens, head_dim]`.
            key: `[kv_heads, tokens, head_dim]`.
            value: as `key`.
            text: `[2, kv_heads, text tokens, head_dim]`, this layer's understanding keys and values.
        """
        keys, values = torch.cat([text[0], key], dim=1), torch.cat([text[1], value], dim=1)
        return attend(query, keys, values, backend=self.backend)


class GenerationAttention(nn.Module):
    """Projections of one layer around `JointAttention`."""

    def __init__(self, config: TransformerConfig, backend: AttentionBackend) -> None:
        super().__init__()
        heads, kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.add_q_proj = nn.Linear(config.hidden_size, heads * self.head_dim, bias=False)
        self.add_k_proj = nn.Linear(config.hidden_size, kv_heads * self.head_dim, bias=False)
        self.add_v_proj = nn.Linear(config.hidden_size, kv_heads * self.head_dim, bias=False)
        self.to_add_out = nn.Linear(heads * self.head_dim, config.hidden_size, bias=False)
        self.norm_added_q = rms_norm(config, self.head_dim)
        self.norm_added_k = rms_norm(config, self.head_dim)
        self.joint = JointAttention(backend)

    def forward(self, x: Tensor, rope: Rotation, texts: Sequence[Tensor]) -> Tensor:
        """`[branches, tokens, hidden]` to the same shape; `texts` has one layer's K/V per branch."""
        query = rope.apply(self.norm_added_q(split_heads(self.add_q_proj(x), self.head_dim)))
        key = rope.apply(self.norm_added_k(split_heads(self.add_k_proj(x), self.head_dim)))
        value = split_heads(self.add_v_proj(x), self.head_dim)
        seen = [self.joint(q, k, v, text) for q, k, v, text in zip(query, key, value, texts, strict=True)]
        out: Tensor = self.to_add_out(torch.stack(seen).transpose(1, 2).flatten(-2))
        return out


class GenerationLayer(nn.Module):
    """One layer of the tower."""

    def __init__(self, config: TransformerConfig, backend: AttentionBackend) -> None:
        super().__init__()
        self.input_layernorm_moe_gen = rms_norm(config, config.hidden_size)
        self.self_attn = GenerationAttention(config, backend)
        self.post_attention_layernorm_moe_gen = rms_norm(config, config.hidden_size)
        self.mlp_moe_gen = mlp(config)

    def forward(self, x: Tensor, rope: Rotation, texts: Sequence[Tensor]) -> Tensor:
        """`[branches, tokens, hidden]` to the same shape."""
        x = x + self.self_attn(self.input_layernorm_moe_gen(x), rope, texts)
        out: Tensor = x + self.mlp_moe_gen(self.post_attention_layernorm_moe_gen(x))
        return out


class GenerationTower(nn.Module):
    """Latents at one noise level to the velocity of what is generated."""

    def __init__(self, config: TransformerConfig, attention: AttentionBackend = AttentionBackend.AUTO) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.proj_in = nn.Linear(config.patch_latent_dim, hidden)
        self.time_embedder = TimestepEmbedder(hidden, config.timestep_scale)
        self.layers = nn.ModuleList(GenerationLayer(config, attention) for _ in range(config.num_hidden_layers))
        self.norm_moe_gen = rms_norm(config, hidden)
        self.proj_out = nn.Linear(hidden, config.patch_latent_dim)
        if config.sound_gen:
            self.audio_proj_in = nn.Linear(config.sound_dim, hidden)
            self.audio_proj_out = nn.Linear(hidden, config.sound_dim)
            self.audio_modality_embed = nn.Parameter(torch.zeros(hidden))
        if config.action_gen:
            domains = config.num_embodiment_domains
            self.action_proj_in = DomainLinear(config.action_dim, hidden, domains)
            self.action_proj_out = DomainLinear(hidden, config.action_dim, domains)
            self.action_modality_embed = nn.Parameter(torch.zeros(hidden))

    def embed(self, latents: Latents, layout: SequenceLayout, noisy: NoisyTokens, timestep: float) -> Tensor:
        """Latents to hidden states `[tokens, hidden]`; only noisy tokens learn the timestep (spec 2.7)."""
        dtype = self.proj_in.weight.dtype
        parts = [self.proj_in(patchify(latents[Modality.VISION].to(dtype), self.config.latent_patch_size))]
        masks = [noisy.vision]
        if layout.sound_frames:
            sound = latents[Modality.SOUND].to(dtype).T
            parts.append(self.audio_proj_in(sound) + self.audio_modality_embed)
            masks.append(noisy.sound)
        if layout.action_rows:
            rows = latents[Modality.ACTION].to(dtype)
            parts.append(self.action_proj_in(rows, layout.domain) + self.action_modality_embed)
            masks.append(noisy.action)
        time = self.time_embedder(timestep).to(dtype)
        hidden: Tensor = torch.cat(parts) + torch.cat(masks)[:, None] * time
        return hidden

    def forward(self, hidden: Tensor, rope: Rotation, texts: Sequence[Tensor]) -> Tensor:
        """All layers and the final norm.

        Args:
            hidden: `[branches, tokens, hidden]`.
            rope: cosines and sines `[branches, 1, tokens, head_dim]`.
            texts: per branch `[layers, 2, kv_heads, text tokens, head_dim]`.
        """
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, rope, [text[index] for text in texts])
        out: Tensor = self.norm_moe_gen(hidden)
        return out

    def velocity(self, hidden: Tensor, layout: SequenceLayout, noisy: NoisyTokens) -> Latents:
        """Hidden states `[tokens, hidden]` of one branch to fp32 velocities, zero where nothing is generated."""
        count = layout.vision_tokens(self.config.latent_patch_size)
        vision, sound, action = hidden.split([count, layout.sound_frames, layout.action_rows])
        patches = self.proj_out(vision).float() * noisy.vision[:, None]
        out = {Modality.VISION: unpatchify(patches, layout, self.config.latent_patch_size)}
        if layout.sound_frames:
            out[Modality.SOUND] = (self.audio_proj_out(sound).float() * noisy.sound[:, None]).T
        if layout.action_rows:
            rows = self.action_proj_out(action, layout.domain).float() * noisy.action[:, None]
            rows[:, layout.action_width :] = 0
            out[Modality.ACTION] = rows
        return out
