"""What requests must know of the published checkpoints (spec 1.3, 1.4, 5.5, 7.1)."""

from __future__ import annotations

from typing import Any, Final

from cosmos3_core.catalog import Family
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.resolve import ModelFacts, SchedulerFacts, SoundFacts

NANO_CONFIG: Final[dict[str, Any]] = {
    "_class_name": "Cosmos3OmniTransformer",
    "model_type": "qwen3_vl_text",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 5_000_000,
    "rope_scaling": {"mrope_section": [24, 20, 20], "mrope_interleaved": True},
    "vocab_size": 151936,
    "qk_norm_for_text": True,
    "latent_channel": 48,
    "latent_patch_size": 2,
    "patch_latent_dim": 192,
    "timestep_scale": 0.001,
    "base_fps": 24,
    "enable_fps_modulation": True,
    "unified_3d_mrope_reset_spatial_ids": True,
    "unified_3d_mrope_temporal_modality_margin": 15000,
    "action_gen": True,
    "action_dim": 64,
    "num_embodiment_domains": 32,
    "sound_gen": True,
    "sound_dim": 64,
    "sound_latent_fps": 25,
}
SUPER_CONFIG: Final[dict[str, Any]] = NANO_CONFIG | {
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
}
EDGE_CONFIG: Final[dict[str, Any]] = NANO_CONFIG | {
    "backbone_type": "cosmos3_edge_nemotron_dense",
    "hidden_size": 2048,
    "intermediate_size": 9216,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "hidden_act": "relu2",
    "rms_norm_eps": 1e-5,
    "rope_theta": 100_000_000,
    "vocab_size": 131072,
    "qk_norm_for_text": False,
    "use_und_k_norm_for_gen": True,
    "sound_gen": False,
    "sound_dim": None,
}

NANO: Final = ModelFacts(
    config=TransformerConfig.from_dict(NANO_CONFIG),
    family=Family.NANO,
    scheduler=SchedulerFacts(flow_shift=1.0, karras=True, sigma_min=0.147, sigma_max=200.0),
    sound=SoundFacts(sampling_rate=48_000, hop=1920),
)
EDGE: Final = ModelFacts(
    config=TransformerConfig.from_dict(EDGE_CONFIG),
    family=Family.EDGE,
    scheduler=SchedulerFacts(flow_shift=3.0, native_flow=True),
    default_system_prompt=False,
)
