"""The configuration files of a tiny checkpoint, with the published fields and small numbers (spec 1.3, 1.4, 6, 7, 10).

Only values; `checkpoint` writes them and the weights that fit them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos3_core.catalog import CatalogEntry, Family
from cosmos3_core.tiny import IMITATED, TinyFamily
from cosmos3_core.tiny.text import SpecialTokens, vocabulary_size

Config = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Size of the towers and codecs; everything else follows from the member."""

    hidden: int = 256
    intermediate: int = 512
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 64
    mrope_section: tuple[int, int, int] = (12, 10, 10)
    vae_dim: int = 16
    sound_dim: int = 16
    vision_hidden: int = 64
    vision_layers: int = 4


TINY = Size()
# As wide in queries and MLP, compared with its hidden states, as Super is, by which it is told from Nano.
TINY_SUPER = Size(hidden=192, intermediate=960, layers=5)
MID = Size(hidden=512, intermediate=1536, layers=8)

# Channel statistics of the published VAE (spec 6.4).
# fmt: off
LATENT_MEANS = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)
# fmt: on
# fmt: off
LATENT_STDS = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)
# fmt: on


def layout_of(entry: CatalogEntry) -> TinyFamily:
    """The layout of a member's tokenizer and processor."""
    return "edge" if entry.family is Family.EDGE else "nano"


def size_of(entry: CatalogEntry) -> Size:
    """A member's size."""
    return TINY_SUPER if entry.family is Family.SUPER else TINY


def all_files(entry: CatalogEntry, size: Size, tokens: SpecialTokens) -> dict[str, Config]:
    """Every JSON file but the tokenizer's, by its path in the checkpoint.

    Args:
        entry: what it imitates.
        size: size of the towers and codecs.
        tokens: ids of the tokenizer's special tokens.
    """
    family = layout_of(entry)
    index = _model_index(entry)
    files = {
        "config.json": _root(family, size, tokens),
        "generation_config.json": {
            "bos_token_id": tokens.bos,
            "eos_token_id": tokens.eos,
            "pad_token_id": tokens.pad,
        },
        "model_index.json": index,
        "transformer/config.json": _transformer(entry, size),
        "vae/config.json": _vae(size),
        "scheduler/scheduler_config.json": _scheduler(family) if entry.levels is None else _fixed_steps(entry.levels),
    }
    if entry.levels is not None:
        files["modular_model_index.json"] = _modular_index(entry, index)
    if entry.sound:
        files["sound_tokenizer/config.json"] = _sound(size)
    if family == "edge":
        return files | _edge_processor()
    if entry.chats:
        files["vision_encoder/config.json"] = {"architectures": ["Qwen3VLVisionModel"], **_qwen_vision(size)}
    return files | _qwen_processor()


def _text(family: TinyFamily, size: Size, tokens: SpecialTokens) -> Config:
    edge = family == "edge"
    theta = 100_000_000.0 if edge else 5_000_000.0
    rope = {"rope_type": "default", "rope_theta": theta, "mrope_section": list(size.mrope_section)}
    if not edge:
        rope["mrope_interleaved"] = True
    return {
        "model_type": "cosmos3_edge_text" if edge else "qwen3_vl_text",
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "hidden_act": "relu2" if edge else "silu",
        "rms_norm_eps": 1e-5 if edge else 1e-6,
        "vocab_size": vocabulary_size(family),
        "max_position_embeddings": 32768,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_parameters": rope,
        "bos_token_id": tokens.bos,
        "eos_token_id": tokens.eos,
        "pad_token_id": tokens.pad,
        "tie_word_embeddings": False,
    }


def _root(family: TinyFamily, size: Size, tokens: SpecialTokens) -> Config:
    edge = family == "edge"
    root: Config = {
        "architectures": ["Cosmos3EdgeForConditionalGeneration" if edge else "Cosmos3ForConditionalGeneration"],
        "model_type": "cosmos3_edge" if edge else "cosmos3_omni",
        "dtype": "bfloat16",
        "allow_patterns_overrides": ["*/*.safetensors"],
        "image_token_id": tokens.image_pad,
        "video_token_id": tokens.video_pad,
        "vision_start_token_id": tokens.vision_start,
        "vision_end_token_id": tokens.vision_end,
        "tie_word_embeddings": False,
        "text_config": _text(family, size, tokens),
        "vision_config": _edge_vision(size) if edge else _qwen_vision(size),
    }
    if edge:
        projector = 4 * size.vision_hidden
        root["projector_hidden_size"] = projector
        root["projector_config"] = {
            "input_hidden_size": size.vision_hidden,
            "merger_intermediate_size": projector,
            "out_hidden_size": size.hidden,
            "spatial_merge_size": 2,
            "use_postshuffle_norm": False,
        }
    return root


def _qwen_vision(size: Size) -> Config:
    return {
        "model_type": "qwen3_vl_vision",
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": 2 * size.vision_hidden,
        "num_heads": 4,
        "in_channels": 3,
        "patch_size": 16,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "num_position_embeddings": 256,
        "out_hidden_size": size.hidden,
        "deepstack_visual_indexes": [0, 1, 2],
        "hidden_act": "gelu_pytorch_tanh",
    }


def _edge_vision(size: Size) -> Config:
    return {
        "model_type": "cosmos3_edge_vision",
        "hidden_size": size.vision_hidden,
        "intermediate_size": 2 * size.vision_hidden,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": 4,
        "num_channels": 3,
        "patch_size": 16,
        "num_patches": 256,
        "spatial_merge_size": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }


def _transformer(entry: CatalogEntry, size: Size) -> Config:
    edge, published = entry.family is Family.EDGE, entry.config
    config: Config = {
        "_class_name": "Cosmos3OmniTransformer",
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "hidden_act": "relu2" if edge else "silu",
        "rms_norm_eps": 1e-5 if edge else 1e-6,
        "rope_theta": 100_000_000.0 if edge else 5_000_000.0,
        "rope_scaling": {"mrope_section": list(size.mrope_section), "rope_type": "default"},
        "rope_axes_dim": list(size.mrope_section),
        "vocab_size": vocabulary_size(layout_of(entry)),
        "attention_bias": False,
        "attention_dropout": 0.0,
        "qk_norm_for_text": not edge,
        "use_und_k_norm_for_gen": edge,
        "latent_channel": 48,
        "latent_patch_size": 2,
        "patch_latent_dim": 192,
        "timestep_scale": 0.001,
        "base_fps": int(published.base_fps),
        "enable_fps_modulation": True,
        "unified_3d_mrope_reset_spatial_ids": True,
        "unified_3d_mrope_temporal_modality_margin": 15000,
        "action_gen": published.action_gen,
        "action_dim": 64,
        "num_embodiment_domains": 32,
        "sound_gen": entry.sound,
        "sound_dim": 64 if entry.sound else None,
        "sound_latent_fps": 25.0,
    }
    return config


def _vae(size: Size) -> Config:
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": size.vae_dim,
        "decoder_base_dim": size.vae_dim,
        "z_dim": 48,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
        "dropout": 0.0,
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_temporal": 4,
        "scale_factor_spatial": 16,
        "clip_output": True,
        "latents_mean": list(LATENT_MEANS),
        "latents_std": list(LATENT_STDS),
    }


def _sound(size: Size) -> Config:
    return {
        "_class_name": "Cosmos3AVAEAudioTokenizer",
        "model_type": "autoencoder_v2",
        "sampling_rate": 48_000,
        "vocoder_input_dim": 64,
        "dec_out_channels": 2,
        "dec_c_mults": [1, 2, 4, 8, 16],
        "dec_strides": [2, 4, 5, 6, 8],
        "enc_c_mults": [1, 2, 4],
        "enc_strides": [4, 5, 6],
        "stereo": True,
        "normalize_volume": True,
        "dec_dim": size.sound_dim,
        "enc_dim": size.sound_dim,
        "enc_latent_dim": 128,
    }


def _scheduler(family: TinyFamily) -> Config:
    edge = family == "edge"
    config: Config = {
        "_class_name": "UniPCMultistepScheduler",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "solver_order": 2,
        "solver_type": "bh2",
        "predict_x0": True,
        "lower_order_final": True,
        "final_sigmas_type": "zero",
        "timestep_spacing": "linspace",
        "use_flow_sigmas": True,
        "use_karras_sigmas": not edge,
        "flow_shift": 3.0 if edge else 1.0,
    }
    return config if edge else config | {"sigma_max": 200.0, "sigma_min": 0.147}


def _fixed_steps(levels: tuple[float, ...]) -> Config:
    """The scheduler of a distilled checkpoint (spec 1.3, 5.6)."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "use_karras_sigmas": False,
        "use_exponential_sigmas": False,
        "use_beta_sigmas": False,
        "invert_sigmas": False,
        "stochastic_sampling": True,
        "fixed_step_sampler_config": {"t_list": list(levels), "sample_type": "sde"},
        "fixed_step_requires_explicit_sigmas": True,
    }


def _modular_index(entry: CatalogEntry, index: Config) -> Config:
    """The components once more for diffusers' modular pipelines, which read the fixed levels here."""
    components = {name: pair for name, pair in index.items() if isinstance(pair, list) and pair[0]}
    loading = {"pretrained_model_name_or_path": entry.id, "variant": None}
    assert entry.levels is not None
    return {
        "_blocks_class_name": "Cosmos3DistilledBlocks",
        "_class_name": "Cosmos3DistilledModularPipeline",
        "_diffusers_version": index["_diffusers_version"],
        "is_distilled": True,
        "distilled_sigmas": list(entry.levels),
        "enable_safety_checker": False,
        **{name: [*pair, loading | {"subfolder": name, "type_hint": pair}] for name, pair in components.items()},
    }


def _model_index(entry: CatalogEntry) -> Config:
    edge = entry.family is Family.EDGE
    index: Config = {
        "_class_name": "Cosmos3OmniPipeline",
        "_diffusers_version": "0.42.1",
        IMITATED: entry.id,
        "transformer": ["diffusers", "Cosmos3OmniTransformer"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "scheduler": [
            "diffusers",
            "UniPCMultistepScheduler" if entry.levels is None else "FlowMatchEulerDiscreteScheduler",
        ],
        "text_tokenizer": ["transformers", "PreTrainedTokenizerFast" if edge else "Qwen2TokenizerFast"],
        "sound_tokenizer": ["diffusers", "Cosmos3AVAEAudioTokenizer"] if entry.sound else [None, None],
        "safety_checker": [None, None],
        "enable_safety_checker": False,
    }
    return index | {"default_use_system_prompt": False, "use_native_flow_schedule": True} if edge else index


# Images stay small for a tiny ViT on a CPU: at most 1024 x 1024 pixels instead of the published 4096 x 4096.
_PIXELS = {"shortest_edge": 65_536, "longest_edge": 1_048_576}


def _common_processor(temporal: int) -> Config:
    return {
        "patch_size": 16,
        "temporal_patch_size": temporal,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "resample": 3,
    }


def _qwen_processor() -> dict[str, Config]:
    image = {"image_processor_type": "Qwen2VLImageProcessorFast", "size": _PIXELS, **_common_processor(2)}
    video = {"video_processor_type": "Qwen3VLVideoProcessor", **_common_processor(2)}
    video |= {
        "size": {"shortest_edge": 4096, "longest_edge": 1_048_576},
        "fps": 2,
        "min_frames": 4,
        "max_frames": 768,
    }
    return {
        "preprocessor_config.json": image | {"processor_class": "Qwen3VLProcessor"},
        "video_preprocessor_config.json": video | {"processor_class": "Qwen3VLProcessor"},
    }


def _edge_processor() -> dict[str, Config]:
    image = {"image_processor_type": "Cosmos3EdgeImageProcessor", "size": _PIXELS, **_common_processor(1)}
    video = {"video_processor_type": "Cosmos3EdgeVideoProcessor", **_common_processor(1)}
    video |= {
        "size": {"shortest_edge": 4096, "longest_edge": 1_048_576},
        "fps": 2,
        "min_frames": 4,
        "max_frames": 768,
    }
    return {
        "preprocessor_config.json": image | {"processor_class": "Cosmos3EdgeProcessor"},
        "video_preprocessor_config.json": video | {"processor_class": "Cosmos3EdgeProcessor"},
        "processor_config.json": {
            "processor_class": "Cosmos3EdgeProcessor",
            "image_processor": image,
            "video_processor": video,
        },
    }
