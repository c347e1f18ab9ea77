"""The fields of the generation routes: which are served, under which names, and why others are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from deployments.ingress import coercions as read
from deployments.ingress.coercions import Coercion
from deployments.ingress.references import read_reference

CONTAINERS = ("extra_args", "extra_params")
"""Objects whose keys are fields too, the later ones winning; `video_params` is one that only fills gaps."""

ALIASES = {
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "shift": "flow_shift",
    "num_output_frames": "num_frames",
    "enable_sound": "generate_sound",
    "sound_gen": "generate_sound",
    "enable_audio": "generate_sound",
    "audio_duration": "sound_duration",
    "use_guardrails": "guardrails",
    "enable_safety_checker": "guardrails",
    "condition_video_latent_indexes": "condition_frame_indexes_vision",
    "n": "num_outputs_per_prompt",
    "image_size": "resolution",
    "deterministic_seed": "seed",
    "conditioning_fps": "action_fps",
    "model_mode": "mode",
    "action_mode": "mode",
    "image": "input_reference",
    "video": "input_reference",
    "input_references": "input_reference",
}

COSMETIC = frozenset(
    {
        "user",
        "generator_device",
        "vae_use_tiling",
        "vae_use_slicing",
        "true_cfg_scale",
        "guidance_scale_2",
        "boundary_ratio",
        "frame_interpolation_exp",
        "frame_interpolation_scale",
        "frame_interpolation_model_path",
        "preencode_mp4",
        "preencode_batch_frames",
    }
)
"""Fields that other servers know and that change nothing in what Cosmos 3 makes."""

_TRANSFER = "asks for transfer from a control video (edge, blur, depth, seg, wsm), which is not served"
_PATH = "names a file or an address for the server to read, which it does not do; upload it as input_reference"
_EDITING = "belongs to models that edit their input, which Cosmos 3 does not"
_OBSERVATION = "is not taken by this route; send an image as input_reference"
_NO_IMAGE = "is not used by this route, which makes images from text; ask for a video"
_REFUSED = {
    **dict.fromkeys(("edge", "blur", "depth", "seg", "wsm", "transfer", "control"), _TRANSFER),
    **dict.fromkeys(("control_reference", "control_type", "control_path", "control_weight"), _TRANSFER),
    **dict.fromkeys(("control_guidance", "control_guidance_interval", "num_video_frames_per_chunk"), _TRANSFER),
    **dict.fromkeys(("num_conditional_frames", "num_first_chunk_conditional_frames", "max_frames"), _TRANSFER),
    **dict.fromkeys(("show_control_condition", "show_input", "share_vision_temporal_positions"), _TRANSFER),
    **dict.fromkeys(("emphasize_control_in_prompt",), _TRANSFER),
    **dict.fromkeys(("action_path", "vision_path", "sound_path", "image_path", "video_path"), _PATH),
    **dict.fromkeys(("image_url", "video_url", "reference_url"), _PATH),
    **dict.fromkeys(("source_video", "source_audio", "video_noise_mask", "audio_noise_mask"), _EDITING),
    **dict.fromkeys(("mask", "mask_image", "reference_image"), _EDITING),
    **dict.fromkeys(("observation", "robot_obs"), _OBSERVATION),
    "audio_reference": "is not used by Cosmos 3; sound is generated, never conditioned on",
    "enable_frame_interpolation": "is not served; ask for the frames with num_frames and fps",
    "lora": "is not served; this server loads no adapters",
}

_COMMON: dict[str, Coercion] = {
    "prompt": read.text,
    "model": read.text,
    "negative_prompt": read.text,
    "size": read.size,
    "width": read.whole,
    "height": read.whole,
    "resolution": read.tier,
    "aspect_ratio": read.text,
    "fps": read.number,
    "num_frames": read.whole,
    "num_inference_steps": read.whole,
    "guidance_scale": read.number,
    "guidance_interval": read.interval,
    "flow_shift": read.number,
    "schedule": read.text,
    "seed": read.seed,
    "deterministic_seed": read.deterministic_seed,
    "max_sequence_length": read.whole,
    "preset": read.text,
    "use_system_prompt": read.flag,
    "system_prompt": read.text,
    "use_resolution_template": read.flag,
    "use_duration_template": read.flag,
    "negative_metadata_mode": read.text,
    "guardrails": read.flag,
    "return_stage_metrics": read.flag,
    "mode": read.mode,
    "service_class": read.choice(interactive="interactive", standard="standard", batch="batch"),
}
_VIDEO_ONLY: dict[str, Coercion] = {
    "input_reference": read_reference,
    "image_reference": partial(read_reference, kind="image"),
    "video_reference": partial(read_reference, kind="video"),
    "generate_sound": read.flag,
    "sound_duration": read.number,
    "condition_frame_indexes_vision": partial(read.numbers, of=read.whole),
    "condition_video_keep": read.text,
    "action_mode": read.action_mode,
    "action": read.rows,
    "action_chunk_size": read.whole,
    "action_fps": read.number,
    "domain_name": read.text,
    "domain_id": read.whole,
    "raw_action_dim": read.whole,
    "view_point": read.text,
    "seconds": read.seconds,
}


@dataclass(frozen=True)
class Schema:
    """One route's fields: how those it serves are read, and why others are refused."""

    accepted: Mapping[str, Coercion]
    refused: Mapping[str, str]


VIDEO = Schema(
    _COMMON
    | _VIDEO_ONLY
    | {"num_outputs_per_prompt": read.within(1, 1), "quality": read.choice(standard="standard", auto="standard")},
    _REFUSED,
)
IMAGE = Schema(
    _COMMON
    | {
        "use_system_prompt": read.image_system_prompt_switch,
        "num_outputs_per_prompt": read.within(1, 10),
        "response_format": read.choice(b64_json="b64_json", file="file"),
        "output_format": read.choice(png="png", jpeg="jpeg", jpg="jpeg", webp="webp"),
        "output_compression": read.within(0, 100),
    },
    _REFUSED | dict.fromkeys(_VIDEO_ONLY.keys() - {"seconds"}, _NO_IMAGE),
)
