"""What one implementation made of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What one implementation made.

    Attributes:
        latents: the final ones by modality; those of several parts one after the other in time.
        frames: uint8 `[frames, height, width, 3]`, where they were decoded.
        noise: what each part started from, where the seed of a request of ours would give other noise.
    """

    latents: dict[str, Tensor]
    frames: NDArray[np.uint8] | None = None
    noise: Sequence[dict[str, Tensor]] | None = None
