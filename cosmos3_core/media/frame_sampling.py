"""Which frames of a video the Reasoner reads, and the seconds at which they are shown (spec model 10.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_FPS = 2.0
MAX_FPS = 30.0
MIN_FRAMES, MAX_FRAMES = 4, 768


@dataclass(frozen=True)
class FrameSampling:
    """How densely a video is read, by one of two numbers.

    Attributes:
        fps: frames per second of the video's own time, above 0 and at most `MAX_FPS`.
        num_frames: so many frames instead, whatever the video's length.
    """

    fps: float = DEFAULT_FPS
    num_frames: int | None = None

    def indices(self, total: int, source_fps: float) -> list[int]:
        """The frames that are read, evenly spread from the first to the last.

        Args:
            total: how many frames the video has, at least 1.
            source_fps: its frame rate in Hz.
        """
        dense = max(int(total / source_fps * self.fps), MIN_FRAMES)
        count = min(self.num_frames or dense, MAX_FRAMES, total)
        return [int(index) for index in np.linspace(0, total - 1, count).round()]


def timestamps(indices: Sequence[int], source_fps: float, patch: int) -> list[float]:
    """Seconds at which each group of `patch` frames is shown: the mean of its first and last.

    Where the last group is incomplete, its last frame is repeated.
    """
    padded = [*indices, *[indices[-1]] * (-len(indices) % patch)]
    seconds = [index / source_fps for index in padded]
    return [(seconds[start] + seconds[start + patch - 1]) / 2 for start in range(0, len(padded), patch)]
