"""The Decoder stage: latents to frames and sound. It holds the decoder halves of the codecs and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs import sound, video_vae
from cosmos3_core.codecs.pixels import Frames, to_pixels
from cosmos3_core.codecs.sound import SoundDecoder
from cosmos3_core.codecs.video_vae import VideoDecoder
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE
from cosmos3_core.settings import ExecutionSettings


class Tail:
    """The last frames of a clip that is decoded piece by piece, before they are rounded to grey levels.

    Attributes:
        count: how many are kept.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pieces: deque[Tensor] = deque(maxlen=-(-count // VAE_TEMPORAL_STRIDE) + 1)

    def add(self, clip: Tensor) -> None:
        """Take the next frames, `[1, 3, frames, height, width]`."""
        self._pieces.append(clip)

    @property
    def clip(self) -> Tensor:
        """The last frames so far, `[1, 3, count, height, width]` in [-1, 1], fp32."""
        return torch.cat(list(self._pieces), dim=2)[:, :, -self.count :].float()


class Decoder:
    """VAE and sound decoders; each is loaded at its first use, and must be there from the start."""

    def __init__(self, checkpoint: Checkpoint, settings: ExecutionSettings) -> None:
        checkpoint.require(video_vae.COMPONENT)
        if checkpoint.facts.sound is not None:
            checkpoint.require(sound.COMPONENT)
        self.checkpoint = checkpoint
        self.settings = settings
        self._video: VideoDecoder | None = None
        self._sound: SoundDecoder | None = None

    @property
    def video(self) -> VideoDecoder:
        """The VAE's decoder half."""
        if self._video is None:
            self._video = VideoDecoder.from_checkpoint(self.checkpoint, self.settings)
        return self._video

    @property
    def sound(self) -> SoundDecoder:
        """The sound tokenizer's decoder half."""
        if self._sound is None:
            self._sound = SoundDecoder.from_checkpoint(self.checkpoint, self.settings)
        return self._sound

    @property
    def bytes_read(self) -> int:
        """Bytes of weights read so far."""
        return sum(codec.report.bytes_read for codec in (self._video, self._sound) if codec is not None)

    def decode_frames(self, latents: Tensor, tail: Tail | None = None) -> Iterator[Frames]:
        """Frames as they are decoded, uint8 `[1 or 4, height, width, 3]`; memory does not grow with length.

        Args:
            latents: `[48, frames, height / 16, width / 16]`, fp32.
            tail: keeps the last frames for the part that goes on from them.
        """
        for clip in self.video.decode(latents):
            if tail is not None:
                tail.add(clip)
            yield to_pixels(clip)

    def decode_sound(self, latents: Tensor, samples: int | None = None) -> NDArray[np.float32]:
        """The waveform, fp32 `[2, samples]` at `sound.sampling_rate`.

        Args:
            latents: `[64, frames]`, fp32.
            samples: the length wanted; None keeps what the decoder gives.
        """
        return self.sound.decode(latents, samples)
