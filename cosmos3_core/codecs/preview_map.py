"""The linear map from latents to colours as a value, without torch; `preview` fits it and uses it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PreviewMap:
    """Latent channels to colour.

    Attributes:
        weight: fp32 `[channels, 3]`.
        bias: fp32 `[3]`; colours are 0 to 255.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
