"""The fixed list of requests whose results are recorded: every mode, every preset, both families, both samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Fields = dict[str, Any]

FAMILIES = ("nano", "edge")
DISTILLED_LEVELS = [0.999, 0.8, 0.4]
"""Noise levels of the distilled variant of each family: its steps and guidance are fixed."""

_WORDS: Fields = {
    "prompt": "a robot arm pours water from a jar into a glass.",
    "negative_prompt": "blurry",
    "num_inference_steps": 4,
    "guidance_scale": 5.0,
}
_SMALL: Fields = {"width": 112, "height": 80}
_CAPTION = '{"subject": "a red car", "aspect_ratio": "16:9"}'


def picture(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """A picture of integers alone, which every machine draws alike, uint8 `[height, width, 3]`."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [(rows * (3 + channel) + columns * (5 - channel) + seed * 37) % 256 for channel in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def clip(frames: int, height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """The picture drifting sideways, uint8 `[frames, height, width, 3]`."""
    wide = picture(height, width + 4 * frames, seed=seed)
    return np.stack([wide[:, 4 * frame : 4 * frame + width] for frame in range(frames)])


def _actions(rows: int, width: int) -> NDArray[np.float32]:
    return (np.arange(rows * width, dtype=np.float32).reshape(rows, width) % 17 - 8) / np.float32(16)


REQUESTS: dict[str, Fields] = {
    "text2image": {"mode": "text2image", **_SMALL, "seed": 1},
    "text2image, guidance everywhere": {
        "mode": "text2image",
        **_SMALL,
        "guidance_interval": (0, 1000),
        "preset": "framework",
        "prompt": _CAPTION,
    },
    "text2image, no guidance": {"mode": "text2image", **_SMALL, "guidance_scale": 1.0, "preset": "diffusers"},
    "text2video": {"mode": "text2video", **_SMALL, "num_frames": 9, "seed": 2, "fps": 16},
    "text2video, framework": {
        "mode": "text2video",
        **_SMALL,
        "num_frames": 5,
        "preset": "framework",
        "flow_shift": 10,
        "seed": -3,
    },
    "text2video, diffusers": {"mode": "text2video", **_SMALL, "num_frames": 5, "preset": "diffusers"},
    "text2video, linspace": {"mode": "text2video", **_SMALL, "num_frames": 5, "schedule": "linspace", "flow_shift": 4},
    "text2video, karras": {"mode": "text2video", **_SMALL, "num_frames": 5, "schedule": "karras"},
    "text2video, sound": {
        "mode": "text2video",
        **_SMALL,
        "num_frames": 9,
        "generate_sound": True,
        "sound_duration": 0.6,
    },
    "image2video": {"mode": "image2video", **_SMALL, "num_frames": 9, "image": picture(90, 120, seed=1)},
    "image2video, sound": {
        "mode": "image2video",
        **_SMALL,
        "num_frames": 5,
        "image": picture(64, 64, seed=2),
        "generate_sound": True,
    },
    "video2video": {"mode": "video2video", **_SMALL, "num_frames": 13, "video": clip(6, 96, 96, seed=3)},
    "video2video, last": {
        "mode": "video2video",
        **_SMALL,
        "num_frames": 13,
        "video": clip(14, 96, 96, seed=4),
        "condition_video_keep": "last",
        "condition_frame_indexes_vision": (0, 2),
        "preset": "diffusers",
    },
    "forward_dynamics": {
        "mode": "forward_dynamics",
        "width": 96,
        "height": 80,
        "image": picture(70, 100, seed=5),
        "domain_name": "av",
        "action": _actions(7, 9),
        "seed": 6,
    },
    "inverse_dynamics": {
        "mode": "inverse_dynamics",
        "width": 96,
        "height": 80,
        "video": clip(9, 70, 100, seed=6),
        "domain_name": "bridge_orig_lerobot",
        "action_chunk_size": 8,
        "preset": "diffusers",
    },
    "policy": {
        "mode": "policy",
        "width": 96,
        "height": 80,
        "image": picture(90, 70, seed=7),
        "domain_name": "umi",
        "action_chunk_size": 8,
        "view_point": "wrist_view",
    },
    "policy, framework": {
        "mode": "policy",
        "width": 96,
        "height": 80,
        "image": picture(70, 110, seed=8),
        "domain_name": "camera_pose",
        "action_chunk_size": 4,
        "preset": "framework",
        "guidance_scale": 1.0,
    },
}
"""By name; `fields_of` completes them."""

DISTILLED: dict[str, Fields] = {
    name: {name_: value for name_, value in REQUESTS[name].items() if name_ != "preset"}
    for name in ("text2image", "image2video")
}
"""Those that the distilled variant makes."""

_WITHOUT_SOUND = tuple(name for name, fields in REQUESTS.items() if not fields.get("generate_sound"))


def names_of(family: str) -> tuple[str, ...]:
    """The requests that a family can do: Edge makes no sound."""
    return tuple(REQUESTS) if family == "nano" else _WITHOUT_SOUND


def fields_of(requests: dict[str, Fields], name: str) -> Fields:
    """The fields of a request, for `GenerationRequest`."""
    return _WORDS | requests[name]
