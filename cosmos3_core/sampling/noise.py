"""Initial and per-step noise, drawn on the CPU in fp32 so that a seed means the same on any number of GPUs.

`torch`: one generator, modalities in a fixed order; with the same seed diffusers draws the same numbers from a CPU
generator. `numpy`: the framework's architecture-invariant generator, started anew for each modality (spec 5.9).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.sampling.sampling import NoiseSource

_UINT32 = 2**32


def draw(shapes: Mapping[Modality, tuple[int, ...]], seed: int, source: NoiseSource) -> Latents:
    """Standard normal noise, fp32, for each modality of a request.

    Args:
        shapes: wanted modalities; drawn in the order vision, sound, action whatever the mapping's order.
        seed: any 64-bit integer.
        source: which generator.
    """
    if source == "torch":
        return _torch_normal(shapes, torch.Generator("cpu").manual_seed(seed))
    return {m: _numpy_normal(shapes[m], seed) for m in Modality if m in shapes}


def draw_for_step(shapes: Mapping[Modality, tuple[int, ...]], seed: int, step: int, source: NoiseSource) -> Latents:
    """The fresh noise a stochastic sampler adds after `step` (0-based), the same on a resumed run (spec 5.6).

    `torch` goes on with the generator that drew the initial noise; `numpy` starts anew from `seed + step`.
    """
    if source == "numpy":
        return draw(shapes, seed + step, source)
    generator = torch.Generator("cpu").manual_seed(seed)
    for _ in range(step + 2):
        drawn = _torch_normal(shapes, generator)
    return drawn


def _torch_normal(shapes: Mapping[Modality, tuple[int, ...]], generator: torch.Generator) -> Latents:
    wanted = [modality for modality in Modality if modality in shapes]
    return {m: torch.randn(shapes[m], generator=generator, dtype=torch.float32) for m in wanted}


def _numpy_normal(shape: tuple[int, ...], seed: int) -> Tensor:
    values = np.random.RandomState(seed % _UINT32).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))
