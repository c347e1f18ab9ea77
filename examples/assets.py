"""Pictures, clips, prompts and actions: NVIDIA's where COSMOS3_ASSETS names their folder, else stand-ins.

A name is a file's without its ending, such as `av_0`. Stand-ins are made here, with the size and structure of
what they stand for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image

_ACTION_SHAPES = {"av_traj_forward": (60, 9), "umi": (32, 10)}


def image(name: str) -> Path | NDArray[np.uint8]:
    """A picture: the path of a real one, or uint8 `[480, 832, 3]`."""
    return _real("images", name) or _clip(1, 480, 832)[0]


def image_file(name: str, folder: Path) -> Path:
    """A picture as a file: the real one, or a stand-in written into `folder`."""
    found = image(name)
    if isinstance(found, Path):
        return found
    path = folder / f"{name}.png"
    path.write_bytes(encode_image(found, "png"))
    return path


def video(name: str) -> NDArray[np.uint8]:
    """A clip, uint8 `[frames, height, width, 3]`; a stand-in has 33 frames of 256 x 256."""
    path = _real("videos", name)
    return decode_video(path).frames if path else _clip(33, 256, 256)


def video_file(name: str, folder: Path) -> Path:
    """A clip as a file: the real one, or a stand-in of 24 frames a second written into `folder`."""
    found = _real("videos", name)
    if found is not None:
        return found
    path = folder / f"{name}.mp4"
    encode_mp4(path, video(name), 24)
    return path


def prompt(name: str) -> str:
    """A structured caption: a JSON object as text."""
    path = _real("prompts", name)
    return path.read_text(encoding="utf-8") if path else json.dumps(_caption(), indent=2)


def action(name: str) -> NDArray[np.float32]:
    """Robot actions, `[rows, width]` in the model's normalised space."""
    path = _real("actions", name)
    if path:
        return np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.float32)
    rows, width = _ACTION_SHAPES.get(name, (16, 10))
    time = np.arange(rows)[:, None] / rows
    return np.sin(time * np.arange(1, width + 1)).astype(np.float32)


def _real(kind: str, name: str) -> Path | None:
    root = os.environ.get("COSMOS3_ASSETS")
    return next(iter(sorted(Path(root, kind).glob(f"{name}.*"))), None) if root else None


def _clip(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """A pattern of soft waves that drifts to the right."""
    t, y, x = np.ogrid[:frames, :height, :width]
    channels = [np.sin((x - 3 * t) / (17 + 8 * c)) * np.cos(y / (29 - 6 * c) + t / 9) for c in range(3)]
    return (127.5 + 127.5 * np.stack(channels, axis=-1)).round().astype(np.uint8)


def _caption() -> dict[str, object]:
    return {
        "subjects": [
            {"description": "A robot arm with two fingers.", "action": "It lifts a red cup off a table."},
            {"description": "A cup of red enamel.", "state_changes": "It rises and tilts to the left."},
        ],
        "background_setting": "A workshop with a window on the right, tools on the wall.",
        "lighting": {"conditions": "Soft daylight from the window", "shadows": "Long, to the left"},
        "cinematography": {"camera_motion": "Static", "framing": "Medium shot"},
        "actions": [{"time": "0:00-0:03", "description": "The arm closes its fingers and lifts the cup."}],
        "temporal_caption": "The arm reaches down, grasps the cup by its rim and carries it to the window.",
        "resolution": {"H": 720, "W": 1280},
        "aspect_ratio": "16,9",
        "duration": "7s",
        "fps": 24,
    }
