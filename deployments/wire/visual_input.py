"""An image or a video of a chat on its way to whoever embeds it, and how it is to be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from cosmos3_core.media.frame_sampling import FrameSampling


class VisualKind(StrEnum):
    """What a medium is."""

    IMAGE = "image"
    VIDEO = "video"
    FRAMES = "frames"
    """Frames of a video that its sender has chosen, each an image file."""


CHOSEN_FPS = 1.0
"""The rate at which `FRAMES` were chosen if their sender does not say it, as in vLLM."""


@dataclass(frozen=True)
class VisualReading:
    """How a chat's media are read.

    Attributes:
        frames: which frames of a video; None is the family's default.
        least_pixels, most_pixels: bounds on an image's pixels, or on those of all frames of a video; None is the
            checkpoint's.
    """

    frames: FrameSampling | None = None
    least_pixels: int | None = None
    most_pixels: int | None = None

    @property
    def sampling(self) -> FrameSampling:
        """Which frames of a video are read."""
        return self.frames or FrameSampling()

    @property
    def chosen_fps(self) -> float:
        """The rate at which `FRAMES` were chosen, in Hz."""
        return CHOSEN_FPS if self.frames is None or self.frames.num_frames is not None else self.frames.fps


@dataclass(frozen=True)
class VisualInput:
    """A medium of a chat.

    Attributes:
        kind: what it is.
        files: its file, or one for each of its frames.
        reading: how it is read.
        key: hash of all that its embeddings depend on.
    """

    kind: VisualKind
    files: tuple[bytes, ...]
    reading: VisualReading
    key: str

    @classmethod
    def of(cls, kind: VisualKind, files: tuple[bytes, ...], reading: VisualReading) -> VisualInput:
        """A medium with its key, which takes a second per gigabyte."""
        if kind is VisualKind.IMAGE:
            # How videos are sampled changes nothing in an image.
            reading = replace(reading, frames=None)
        hashes = [hashlib.sha256(file).hexdigest() for file in files]
        key = hashlib.sha256(repr((kind.value, hashes, reading)).encode()).hexdigest()
        return cls(kind, files, reading, key)
