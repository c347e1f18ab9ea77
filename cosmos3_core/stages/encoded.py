"""What crosses from the Encoder stage to the Denoiser stage."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.stages.understanding import TextKeyValues


@dataclass(frozen=True)
class EncodedRequest:
    """A request ready to be denoised.

    Attributes:
        conditional, unconditional: the guidance branches; no second one without guidance.
        layout: shape of the generation sequence.
        conditioning: clean latents and masks.
        sampling: how its latents are sampled.
        adapters: those that its steps use.
    """

    conditional: TextKeyValues
    unconditional: TextKeyValues | None
    layout: SequenceLayout
    conditioning: Conditioning
    sampling: Sampling
    adapters: tuple[AdapterUse, ...] = ()
