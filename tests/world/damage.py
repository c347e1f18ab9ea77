"""What generated clips suffer from, done to true ones: blur, noise, compression."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.sound import decode_audio
from examples.tiny_world.scenes.clips import Clip
from examples.tiny_world.scenes.render import Frames

BLUR, NOISE, HISS, CRF = 1.2, 10.0, 0.02, 23
"""Standard deviation of the blur in pixels, of the noise in grey levels and in the sound; x264's quality."""


def blurred(frames: Frames) -> Frames:
    """Every frame out of focus."""
    return np.stack([np.asarray(cv2.GaussianBlur(frame, (0, 0), BLUR), np.uint8) for frame in frames])


def noisy(frames: Frames, rng: Generator) -> Frames:
    """Every pixel a little off."""
    return np.clip(frames + rng.normal(0, NOISE, frames.shape), 0, 255).astype(np.uint8)


def damaged(clip: Clip, rng: Generator) -> Clip:
    """Blurred, noisy, and written to an MP4 file and read again."""
    frames = noisy(blurred(clip.frames), rng)
    sound = (clip.sound + rng.normal(0, HISS, clip.sound.shape)).astype(np.float32)
    file = io.BytesIO()
    encode_mp4(file, frames, clip.scene.format.fps, sound, crf=CRF)
    return replace(clip, frames=decode_video(file.getvalue()).frames, sound=decode_audio(file.getvalue()))
