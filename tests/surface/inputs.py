"""Inputs of the cookbooks (pictures, clips, prompts) or substitutes, at sizes for a tiny checkpoint on a CPU."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import decode_image, encode_image
from examples import assets

Upload = tuple[str, bytes, str]

TINY: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "num_frames": 5, "num_inference_steps": 1, "seed": 1}
"""The smallest request of the video routes."""
LONG: dict[str, Any] = {"prompt": "a robot", "size": "512x320", "num_frames": 45, "num_inference_steps": 200}
"""Half a minute of work on a fast core and minutes on a slow one, with steps of at most two seconds."""
TOO_LARGE: dict[str, Any] = {"prompt": "a robot", "size": "1280x720", "num_frames": 189, "num_inference_steps": 1}
"""A request larger than the memory limit of the shared graph's Generator, `tests.graph.starting.RESIDENT_BYTES`."""


def compact_prompt(name: str) -> str:
    """A structured caption as the cookbooks send it: a JSON object as text, without spaces."""
    return json.dumps(json.loads(assets.prompt(name)), separators=(",", ":"))


def picture(name: str, width: int, height: int) -> NDArray[np.uint8]:
    """A picture at a size, uint8 `[height, width, 3]`."""
    found = assets.image(name)
    pixels = found if isinstance(found, np.ndarray) else decode_image(found)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def jpeg(name: str, width: int, height: int) -> Upload:
    """A picture at a size, as a file part."""
    return f"{name}.jpg", encode_image(picture(name, width, height), "jpeg"), "image/jpeg"


def mp4(name: str, width: int, height: int, frames: int, fps: float, start: int = 0) -> Upload:
    """Some frames of a clip at a size, as a file part; a clip that is too short is repeated."""
    clip = assets.video(name)
    chosen = (Image.fromarray(clip[(start + n) % len(clip)]).resize((width, height)) for n in range(frames))
    file = io.BytesIO()
    encode_mp4(file, (np.asarray(frame) for frame in chosen), fps)
    return f"{name}.mp4", file.getvalue(), "video/mp4"


def as_parts(fields: dict[str, Any], **uploads: Upload) -> list[tuple[str, Any]]:
    """Fields and files as the parts of a multipart form; objects become JSON text."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return [(name, (None, text)) for name, text in texts.items()] + list(uploads.items())


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """The fields without some of them."""
    return {name: value for name, value in fields.items() if name not in names}
