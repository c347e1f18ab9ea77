"""Scaled dot-product attention over grouped K/V heads, by a backend chosen once at start.

The model calls `attend` and does not choose. The backend is a setting of the process, never of a request, because two
backends differ in the last bits.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from cosmos3_core.errors import RequestError
from cosmos3_core.model.backend import AttentionBackend

_KERNELS = {
    AttentionBackend.MATH: SDPBackend.MATH,
    AttentionBackend.FLASH: SDPBackend.FLASH_ATTENTION,
    AttentionBackend.EFFICIENT: SDPBackend.EFFICIENT_ATTENTION,
    AttentionBackend.CUDNN: SDPBackend.CUDNN_ATTENTION,
}


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    backend: AttentionBackend = AttentionBackend.AUTO,
) -> Tensor:
    """Softmax(q kᵀ / √d) v with grouped heads (spec 2.2, items 6 to 8).

    Args:
        query: `[heads, queries, head_dim]`.
        key: `[kv_heads, keys, head_dim]`; `heads` is a multiple of `kv_heads`.
        value: as `key`.
        causal: query i sees keys 0..i.
        backend: the kernel; anything but `auto` raises where it does not support device, dtype or shape.

    Returns:
        `[heads, queries, head_dim]`, dtype of `query`.
    """
    chosen = contextlib.nullcontext() if backend is AttentionBackend.AUTO else sdpa_kernel(_KERNELS[backend])
    if backend is AttentionBackend.EFFICIENT:
        # The memory-efficient kernel has no grouped heads.
        groups = query.shape[0] // key.shape[0]
        key, value = (x.repeat_interleave(groups, dim=0) for x in (key, value))
    with chosen:
        out: Tensor = scaled_dot_product_attention(
            query[None], key[None], value[None], is_causal=causal, enable_gqa=query.shape[0] != key.shape[0]
        )[0]
    return out


def check_backend(backend: AttentionBackend, device: torch.device) -> None:
    """Refuse a kernel that this device cannot run at start, before the first request.

    Raises:
        RequestError: the device cannot run it; the message names the backends that work.
    """
    portable = (AttentionBackend.AUTO, AttentionBackend.MATH, AttentionBackend.FLASH)
    if device.type != "cuda" and backend not in portable:
        raise RequestError("attention", f"is {backend.value}, which needs a CUDA device; use auto, math or flash")
