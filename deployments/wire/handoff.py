"""What travels between stages: read-only numpy arrays in Ray's object store, named by small messages.

A torch tensor in a message would be pickled, five to ten times slower. numpy has no bfloat16, so it travels as uint16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.codecs.preview import PreviewMap
from cosmos3_core.errors import CosmosError
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.sequence import Latents, Modality, SequenceLayout, latent_shapes
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.provenance import DenoiseFacts, EncodeFacts
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.noise import NoiseSource
from cosmos3_core.sampling.schedule import Schedule


class HandoffLost(CosmosError):
    """What the Encoder sent died with it before it was fetched: encode again."""


@dataclass(frozen=True)
class ArrayReference:
    """An array in the object store.

    Attributes:
        reference: holds a numpy array.
        dtype: the tensor's dtype, such as `bfloat16`.
        nbytes: its size.
    """

    reference: Any
    dtype: str
    nbytes: int


@dataclass(frozen=True)
class KeyValuesReference:
    """Keys and values of one prompt; a rank fetches them only where its cache lacks `key`."""

    key: str
    tokens: int
    values: ArrayReference


@dataclass(frozen=True)
class EncodedMessage:
    """Encoder to Generator: an `EncodedRequest` whose tensors stay in the object store.

    Attributes:
        conditional, unconditional: the guidance branches.
        conditioning: dictionary of arrays `clean.<modality>`, `mask.<modality>`; None where nothing is given.
        clip: what the Decoder needs to know beside the latents.
        facts: for the manifest.
        flops: of all denoising steps; a router weighs requests by it.
        preview: how a glimpse of the latents is made; None where nobody wants any.
    """

    conditional: KeyValuesReference
    unconditional: KeyValuesReference | None
    conditioning: Any | None
    conditioning_bytes: int
    layout: SequenceLayout
    schedule: Schedule
    guidance: Guidance
    seed: int
    noise: NoiseSource
    stochastic: bool
    clip: ClipDescription
    facts: EncodeFacts
    flops: float = 0.0
    preview: PreviewMap | None = None

    @property
    def nbytes(self) -> int:
        """Bytes a Generator without a cache would fetch."""
        branches = [branch for branch in (self.conditional, self.unconditional) if branch is not None]
        return self.conditioning_bytes + sum(branch.values.nbytes for branch in branches)

    @property
    def bytes_per_value(self) -> int:
        """Of the compute dtype."""
        return int(getattr(torch, self.conditional.values.dtype).itemsize)

    def geometry(self, config: TransformerConfig) -> StepShape:
        """What its steps work on."""
        branches = [branch for branch in (self.conditional, self.unconditional) if branch is not None]
        return StepShape(self.layout.tokens(config.latent_patch_size), tuple(branch.tokens for branch in branches))

    def latent_values(self, config: TransformerConfig) -> int:
        """Values in the latents of all modalities."""
        return sum(math.prod(shape) for shape in latent_shapes(config, self.layout).values())


@dataclass(frozen=True)
class ClipDescription:
    """What the output is: enough to decode latents into a file and to describe it.

    Attributes:
        mode: as in `cosmos3_core.modes`.
        width, height: in pixels.
        num_frames, fps: of the video; one frame is an image.
        sound_samples: samples per channel to keep; None keeps what the decoder gives.
        sampling_rate: of the sound, in Hz.
        action_width: channels of predicted actions; 0 where none are predicted.
        domain: embodiment id.
    """

    mode: str
    width: int
    height: int
    num_frames: int
    fps: float
    sound_samples: int | None
    sampling_rate: int
    action_width: int
    domain: int


@dataclass(frozen=True)
class LatentsMessage:
    """Generator to Decoder: final latents.

    Attributes:
        reference: dictionary of fp32 arrays by modality in the object store.
        sha256: hash per modality.
        nbytes: their size.
        steps: steps made.
        fetched_bytes: what crossed to the ranks for this request; cached keys and values do not count.
        peak_memory_bytes: the most rank 0 has held, on its GPU, or in its process where it runs on a CPU.
        facts: for the manifest.
    """

    reference: Any
    sha256: dict[str, str]
    nbytes: int
    steps: int
    fetched_bytes: int
    peak_memory_bytes: int
    facts: DenoiseFacts


def to_array(tensor: Tensor) -> NDArray[Any]:
    """A contiguous CPU copy that numpy can hold; bfloat16 as uint16."""
    tensor = tensor.detach().to("cpu").contiguous()
    return np.asarray((tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy())


def to_tensor(array: NDArray[Any], dtype: str, device: torch.device) -> Tensor:
    """A tensor of its own from an array out of the object store, whose memory is read-only and not ours."""
    tensor = torch.tensor(array)
    return (tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor).to(device)


def publish(tensor: Tensor) -> ArrayReference:
    """Put a tensor into the object store; it lives as long as someone holds the reference and this process lives."""
    array = to_array(tensor)
    return ArrayReference(ray.put(array), str(tensor.dtype).removeprefix("torch."), array.nbytes)


def fetch_heads(reference: ArrayReference, heads: slice, device: torch.device) -> Tensor:
    """Some heads of keys and values `[layers, 2, kv_heads, tokens, head_dim]`; the others are not copied."""
    return to_tensor(ray.get(reference.reference)[:, :, heads], reference.dtype, device)


def publish_conditioning(conditioning: Conditioning) -> tuple[Any | None, int]:
    """Put clean latents and masks into the object store; None where every value is to be generated."""
    if not any(bool(mask.any()) for mask in conditioning.mask.values()):
        return None, 0
    parts = {"clean": conditioning.clean, "mask": conditioning.mask}
    arrays = {f"{part}.{name}": to_array(x) for part, latents in parts.items() for name, x in latents.items()}
    return ray.put(arrays), sum(array.nbytes for array in arrays.values())


def fetch_conditioning(reference: Any, device: torch.device) -> Conditioning:
    """The conditioning behind a reference."""
    arrays: Mapping[str, NDArray[Any]] = ray.get(reference)
    parts: dict[str, Latents] = {"clean": {}, "mask": {}}
    for name, array in arrays.items():
        part, _, modality = name.partition(".")
        parts[part][Modality(modality)] = to_tensor(array, "float32", device)
    return Conditioning(parts["clean"], parts["mask"])


def fetch_latents(message: LatentsMessage, device: torch.device) -> Latents:
    """Final latents on a device."""
    arrays: Mapping[str, NDArray[Any]] = ray.get(message.reference)
    return {Modality(name): to_tensor(array, "float32", device) for name, array in arrays.items()}
