"""Our stages over drawn weights: prompts to keys and values, and the denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.gpu.sizes import Shape
from benchmarks.gpu.weights import Tensors, assign, in_fp32
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.layout import latent_shapes
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import flow
from cosmos3_core.settings import DtypeName, ExecutionSettings
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import TextKeyValues, key_of
from cosmos3_core.weights import LoadReport

GUIDANCE, SHIFT, SEED = 6.0, 10.0, 0


def encoded_request(
    config: TransformerConfig, shape: Shape, texts: Sequence[TextKeyValues], device: torch.device
) -> EncodedRequest:
    """A request of this shape with nothing given but its texts."""
    shapes = latent_shapes(config, shape.layout)
    return EncodedRequest(
        conditional=texts[0],
        unconditional=texts[1],
        layout=shape.layout,
        conditioning=Conditioning.none(shapes, device),
        sampling=Sampling(flow(shape.schedule_steps, SHIFT), Guidance(GUIDANCE), SEED),
    )


def understanding(config: TransformerConfig, tensors: Tensors, fp32: bool = False) -> UnderstandingTower:
    """The understanding tower over the weights as they are drawn, or over a copy in fp32."""
    with torch.device("meta"):
        tower = UnderstandingTower(config)
    assign(tower, in_fp32(tower, tensors) if fp32 else tensors)
    return tower


def prefill(tower: UnderstandingTower, prompts: Sequence[Sequence[int]]) -> list[TextKeyValues]:
    """Keys and values of some prompts."""
    device = tower.embed_tokens.weight.device
    return [TextKeyValues(key_of(ids), tower(torch.tensor(ids, device=device))) for ids in prompts]


def denoiser(config: TransformerConfig, tensors: Tensors, device: torch.device, fp32: bool = False) -> Denoiser:
    """The denoiser over the weights as they are drawn, or over a copy in fp32."""
    with torch.device("meta"):
        tower = GenerationTower(config)
    assign(tower, in_fp32(tower, tensors) if fp32 else tensors)
    dtype: DtypeName = "float32" if fp32 else "bfloat16"
    return Denoiser(tower, LoadReport(0, 0), ExecutionSettings(device=str(device), dtype=dtype))
