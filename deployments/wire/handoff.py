"""Tensors on their way between stages: read-only numpy arrays in Ray's object store, which `messages` refer to.

A torch tensor in a message would be pickled, five to ten times slower. numpy has no bfloat16, so it travels as uint16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.sampling.denoise import Conditioning
from deployments.wire.messages import ArrayReference, LatentsMessage

GIVEN = "given"


def to_array(tensor: Tensor) -> NDArray[Any]:
    """A contiguous CPU copy that numpy can hold; bfloat16 as uint16."""
    tensor = tensor.detach().to("cpu").contiguous()
    return np.asarray((tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy())


def to_tensor(array: NDArray[Any], dtype: str, device: torch.device) -> Tensor:
    """Copy an array of the object store, whose memory is read-only, into a tensor."""
    tensor = torch.tensor(array)
    return (tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor).to(device)


def publish(tensor: Tensor) -> ArrayReference:
    """Put a tensor into the object store; it lives as long as someone holds the reference and this process lives."""
    array = to_array(tensor)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return ArrayReference(ray.put(array), dtype=dtype, itemsize=tensor.itemsize, nbytes=array.nbytes)


def fetch_heads(reference: ArrayReference, heads: slice, device: torch.device) -> Tensor:
    """Some heads of keys and values `[layers, 2, kv_heads, tokens, head_dim]`; the others are not copied."""
    return to_tensor(ray.get(reference.reference)[:, :, heads], reference.dtype, device)


def publish_conditioning(conditioning: Conditioning) -> tuple[Any | None, int]:
    """Put clean latents and masks into the object store; None where every value is to be generated."""
    if not conditioning.given and not any(bool(mask.any()) for mask in conditioning.mask.values()):
        return None, 0
    parts = {"clean": conditioning.clean, "mask": conditioning.mask}
    arrays = {f"{part}.{name}": to_array(x) for part, latents in parts.items() for name, x in latents.items()}
    arrays |= {f"{GIVEN}.{index}": to_array(item) for index, item in enumerate(conditioning.given)}
    return ray.put(arrays), sum(array.nbytes for array in arrays.values())


def fetch_conditioning(reference: Any, device: torch.device) -> Conditioning:
    """The conditioning behind a reference."""
    arrays: Mapping[str, NDArray[Any]] = ray.get(reference)
    parts: dict[str, Latents] = {"clean": {}, "mask": {}}
    given: list[Tensor] = []
    for name, array in arrays.items():
        part, _, which = name.partition(".")
        tensor = to_tensor(array, "float32", device)
        if part == GIVEN:
            given.append(tensor)
        else:
            parts[part][Modality(which)] = tensor
    return Conditioning(parts["clean"], parts["mask"], tuple(given))


def fetch_tensor(reference: ArrayReference, device: torch.device) -> Tensor:
    """A whole array on a device."""
    return to_tensor(ray.get(reference.reference), reference.dtype, device)


def fetch_latents(message: LatentsMessage, device: torch.device) -> Latents:
    """Final latents on a device."""
    arrays: Mapping[str, NDArray[Any]] = ray.get(message.reference)
    return {Modality(name): to_tensor(array, "float32", device) for name, array in arrays.items()}
