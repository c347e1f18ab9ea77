"""The Decoder stage: latents to frames and sound. It holds the decoder halves of the codecs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs import sound, video_vae
from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.codecs.sound import SoundDecoder
from cosmos3_core.codecs.video_vae import VideoDecoder
from cosmos3_core.settings import ExecutionSettings


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

    def decode_frames(self, latents: Tensor) -> Iterator[Frames]:
        """Frames as they are decoded, uint8 `[1 or 4, height, width, 3]`; memory does not grow with length.

        Args:
            latents: `[48, frames, height / 16, width / 16]`, fp32.
        """
        return self.video.decode(latents)

    def decode_sound(self, latents: Tensor, samples: int | None = None) -> NDArray[np.float32]:
        """The waveform, fp32 `[2, samples]` at `sound.sampling_rate`.

        Args:
            latents: `[64, frames]`, fp32.
            samples: the length wanted; None keeps what the decoder gives.
        """
        return self.sound.decode(latents, samples)
