"""What an image looks like after the VAE and in an MP4 file: the first frame that an image-to-video must have."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs import pixels
from cosmos3_core.codecs.video_vae import VideoDecoder, VideoEncoder
from cosmos3_core.geometry import Canvas
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import decode_image
from cosmos3_core.presets import VLLM_OMNI
from cosmos3_core.settings import ExecutionSettings


@torch.no_grad()
def rendered_by_vae(checkpoint: str, image: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit an image to a canvas, encode it and decode it again, uint8 `[height, width, 3]`."""
    found, settings = Checkpoint.find(checkpoint), ExecutionSettings(device="cpu", dtype="float32")
    canvas = Canvas(*size)
    fitted = pixels.cover(decode_image(image)[None], canvas, VLLM_OMNI.resize)
    latents = VideoEncoder.from_checkpoint(found, settings).encode(fitted)
    clip = next(iter(VideoDecoder.from_checkpoint(found, settings).decode(latents)))
    return np.asarray(pixels.to_pixels(clip)[0])


def first_frame_in_file(checkpoint: str, image: Path, size: tuple[int, int], fps: float) -> NDArray[np.uint8]:
    """The same as a player shows it: H.264 halves the resolution of colours, which a mosaic is full of."""
    target = io.BytesIO()
    encode_mp4(target, [rendered_by_vae(checkpoint, image, size)], fps)
    return np.asarray(decode_video(target.getvalue()).frames[0])
