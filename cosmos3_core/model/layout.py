"""The shape of one request's generation sequence: frames, sound and action rows, and which of them are given.

Numbers only, without torch: `sequence` makes tokens of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from cosmos3_core.model.config import TransformerConfig

VAE_TEMPORAL_STRIDE = 4


class Modality(StrEnum):
    """What a generation token stands for."""

    VISION = "vision"
    SOUND = "sound"
    ACTION = "action"


@dataclass(frozen=True)
class SequenceLayout:
    """Shape and conditioning of one request's generation sequence.

    Attributes:
        frames, height, width: the vision latent that is generated, in latent pixels.
        fps: frame rate of the request, in frames per second; scales the time axis.
        clean_frames: latent frames given by the caller.
        sound_frames: latent sound frames, 25 a second; 0 without sound.
        clean_sound: whether the soundtrack is given instead of generated.
        action_rows: action rows; 0 without actions.
        clean_rows: action rows given by the caller.
        action_width: how many of the action channels mean anything; the rest stay zero.
        domain: embodiment id of the action rows.
        first_row_frame: the frame that the first action row sits at: 1 for transitions, 0 when row 0 is a state, below
            0 with a history before it.
        given_weights: the weight of each vision item that is given whole, such as a control video, and has the same
            shape as what is generated; they add up to 1. Given items stand first in the sequence.
        shared_times: whether given items have the same time positions as what is generated, or come before it.
    """

    frames: int
    height: int
    width: int
    fps: float
    clean_frames: tuple[int, ...] = ()
    sound_frames: int = 0
    clean_sound: bool = False
    action_rows: int = 0
    clean_rows: tuple[int, ...] = ()
    action_width: int = 0
    domain: int = 0
    first_row_frame: int = 1
    given_weights: tuple[float, ...] = ()
    shared_times: bool = True

    def grid(self, patch: int) -> tuple[int, int]:
        """Patch rows and columns of a frame; an odd latent side is padded by one (spec 2.7)."""
        return ceil(self.height / patch), ceil(self.width / patch)

    def vision_tokens(self, patch: int) -> int:
        """Number of vision tokens of what is generated."""
        rows, columns = self.grid(patch)
        return self.frames * rows * columns

    def given_tokens(self, patch: int) -> int:
        """Number of tokens of the vision items that are given whole."""
        return len(self.given_weights) * self.vision_tokens(patch)

    def own_tokens(self, patch: int) -> int:
        """Length of the generation sequence without the given items."""
        return self.vision_tokens(patch) + self.sound_frames + self.action_rows

    def tokens(self, patch: int) -> int:
        """Length of the generation sequence."""
        return self.given_tokens(patch) + self.own_tokens(patch)

    def without_given(self) -> SequenceLayout:
        """The same sequence without the given items."""
        return replace(self, given_weights=())


def latent_shapes(config: TransformerConfig, layout: SequenceLayout) -> dict[Modality, tuple[int, ...]]:
    """Shape of each modality's latents in a request."""
    shapes: dict[Modality, tuple[int, ...]] = {
        Modality.VISION: (config.latent_channel, layout.frames, layout.height, layout.width)
    }
    if layout.sound_frames:
        shapes[Modality.SOUND] = (config.sound_dim, layout.sound_frames)
    if layout.action_rows:
        shapes[Modality.ACTION] = (layout.action_rows, config.action_dim)
    return shapes
