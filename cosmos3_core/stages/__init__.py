"""The stages of a generation as plain classes: Understanding, Encoder, Denoiser, Decoder.

Each holds only its own weights. Their borders are the borders of the serving graph: token keys and values, latents
and numbers cross them, frames never do. `local` composes them in one process; a graph places them apart.
"""

from cosmos3_core.stages.decoder import Decoder
from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask
from cosmos3_core.stages.encoder import EncodedRequest, Encoder
from cosmos3_core.stages.understanding import TextKeyValues, Understanding

__all__ = [
    "Decoder",
    "DenoiseTask",
    "Denoiser",
    "EncodedRequest",
    "Encoder",
    "TextKeyValues",
    "Understanding",
]
