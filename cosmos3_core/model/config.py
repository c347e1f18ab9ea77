"""The hyper-parameters of both towers, read from `transformer/config.json`.

It is the published file as a typed value and nothing else: no defaults of requests (see `presets`), no weights.
Field names are the published ones, so that the file and the code can be read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal


class ConfigError(ValueError):
    """A checkpoint's configuration is missing a field or contradicts itself; the message names the field."""


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the two towers (`spec/model.md` 1.4).

    Raises:
        ConfigError: sizes that contradict each other, with the field's name.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    rope_axes_dim: tuple[int, int, int] = (24, 20, 20)
    hidden_act: Literal["silu", "relu2"] = "silu"
    qk_norm_for_text: bool = True
    use_und_k_norm_for_gen: bool = False
    latent_channel: int = 48
    latent_patch_size: int = 2
    patch_latent_dim: int = 192
    timestep_scale: float = 0.001
    base_fps: float = 24.0
    enable_fps_modulation: bool = True
    unified_3d_mrope_temporal_modality_margin: int = 15000
    unified_3d_mrope_reset_spatial_ids: bool = True
    action_gen: bool = False
    action_dim: int = 64
    num_embodiment_domains: int = 32
    sound_gen: bool = False
    sound_dim: int = 64
    sound_latent_fps: float = 25.0

    def __post_init__(self) -> None:
        if self.hidden_act not in ("silu", "relu2"):
            raise ConfigError(f"hidden_act is {self.hidden_act!r}; Cosmos 3 towers use 'silu' or 'relu2'")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads ({self.num_attention_heads}) is not a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )
        if 2 * sum(self.rope_axes_dim) != self.head_dim:
            raise ConfigError(
                f"rope_axes_dim {list(self.rope_axes_dim)} must sum to half of head_dim ({self.head_dim})"
            )
        patch = self.latent_patch_size**2 * self.latent_channel
        if self.patch_latent_dim != patch:
            raise ConfigError(
                f"patch_latent_dim is {self.patch_latent_dim}; latent_patch_size² x latent_channel = {patch}"
            )
        if not self.unified_3d_mrope_reset_spatial_ids:
            raise ConfigError("unified_3d_mrope_reset_spatial_ids=false has no published checkpoint")

    @property
    def nemotron_norm(self) -> bool:
        """Whether RMSNorm multiplies by the weight in fp32 (Edge) or in the weight's dtype (spec 2.4)."""
        return self.hidden_act == "relu2"

    @property
    def understanding_key_norm_for_generation(self) -> bool:
        """Edge: the generation tower sees separately normalised, otherwise un-normalised keys (spec 2.2, item 4)."""
        return self.use_und_k_norm_for_gen and not self.qk_norm_for_text

    def key_value_bytes(self, tokens: int, bytes_per_value: int) -> int:
        """Bytes of understanding K/V for `tokens` text tokens over all layers (spec 2.6)."""
        values = self.num_hidden_layers * 2 * self.num_key_value_heads * self.head_dim
        return values * tokens * bytes_per_value

    @classmethod
    def from_dict(cls, published: Mapping[str, Any]) -> TransformerConfig:
        """Read the published JSON object; unknown keys are ignored, missing required ones refused.

        Raises:
            ConfigError: a required field is absent.
        """
        given = {k: v for k, v in published.items() if v is not None}
        scaling = given.get("rope_scaling") or {}
        axes = given.get("rope_axes_dim") or scaling.get("mrope_section") or (24, 20, 20)
        known = {f.name for f in fields(cls)} - {"rope_axes_dim"}
        chosen = {name: value for name, value in given.items() if name in known}
        chosen.setdefault("rms_norm_eps", 1e-6)
        chosen.setdefault("rope_theta", 5_000_000.0)
        required = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
        required += ["num_key_value_heads", "head_dim", "vocab_size"]
        missing = [name for name in required if name not in chosen]
        if missing:
            raise ConfigError(f"transformer/config.json lacks {', '.join(missing)}")
        return cls(rope_axes_dim=(int(axes[0]), int(axes[1]), int(axes[2])), **chosen)
