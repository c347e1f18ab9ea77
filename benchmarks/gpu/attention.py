"""Attention of one layer with both guidance branches, by every kernel that can be had."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.errors import relative_error
from benchmarks.gpu.profiling import kernels_of
from benchmarks.gpu.results import ItemResult, Measurement
from benchmarks.gpu.run import UnavailableError
from benchmarks.gpu.timing import repeated
from cosmos3_core.model.attention import attend
from cosmos3_core.model.backend import AttentionBackend

NAMED_KERNELS = 4
Outputs = Callable[[], list[Tensor]]


class Inputs:
    """Queries of one shape, and keys and values behind texts of two different lengths.

    Attributes:
        tokens: generation tokens.
        lengths: keys of each branch.
        query: `[branches, heads, tokens, head_dim]`.
        keys, values: `[kv_heads, length, head_dim]` of each branch.
    """

    def __init__(self, bench: Bench, tokens: int) -> None:
        config = bench.size.config
        texts = (bench.size.text_tokens[0], bench.size.new_text_tokens[0])

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, device=bench.device, dtype=torch.bfloat16)

        kv_heads, width = config.num_key_value_heads, config.head_dim
        self.tokens = tokens
        self.lengths = [tokens + text for text in texts]
        self.query = normal(len(texts), config.num_attention_heads, tokens, width)
        self.keys = [normal(kv_heads, length, width) for length in self.lengths]
        self.values = [normal(kv_heads, length, width) for length in self.lengths]

    @property
    def flops(self) -> float:
        """FLOPs of both products in both branches."""
        heads, width = self.query.shape[1], self.query.shape[3]
        return 4.0 * self.tokens * sum(self.lengths) * heads * width


def measure(bench: Bench, result: ItemResult) -> None:
    """Every kernel at every shape; errors against fp32 at the smallest."""
    for name, shape in bench.size.shapes.items():
        inputs = Inputs(bench, shape.layout.tokens(bench.size.config.latent_patch_size))
        exact = _by_torch(AttentionBackend.MATH, inputs, torch.float32)() if name == "t2i" else None
        for kernel, make in VARIANTS.items():
            if kernel in result.omitted:
                continue
            try:
                call = make(inputs)
                call()
            except UnavailableError as error:
                result.omitted[kernel] = str(error)
                continue
            except Exception as error:
                result.omitted[f"{kernel}, {name}"] = f"{type(error).__name__}: {error}"
                continue
            _record(bench, result, f"{kernel}, {name}", inputs, call)
            if exact is not None:
                errors = [relative_error(found, true) for found, true in zip(call(), exact, strict=True)]
                result.notes.setdefault("errors at t2i", {})[kernel] = max(errors)


def _record(bench: Bench, result: ItemResult, name: str, inputs: Inputs, call: Outputs) -> None:
    hardware = bench.hardware
    result.measurements.append(
        Measurement(
            name,
            repeated(bench, call),
            prediction_s=inputs.flops / (hardware.flops_per_second * hardware.attention_efficiency),
            flops=inputs.flops,
        )
    )
    kernels = kernels_of(bench, call)[:NAMED_KERNELS]
    result.notes.setdefault("kernels", {})[name] = [kernel.name for kernel in kernels]


def _by_torch(backend: AttentionBackend, inputs: Inputs, dtype: torch.dtype = torch.bfloat16) -> Outputs:
    """Branch by branch through torch, as the model does today."""
    branches = [
        tuple(tensor.to(dtype) for tensor in branch)
        for branch in zip(inputs.query, inputs.keys, inputs.values, strict=True)
    ]
    if backend is AttentionBackend.CUDNN and inputs.query.device.type != "cuda":
        raise UnavailableError("needs a CUDA device")
    return lambda: [attend(query, key, value, backend=backend) for query, key, value in branches]


def _fa3(inputs: Inputs) -> Any:
    """The operator of fa3-fwd, on `[batch, tokens, heads, head_dim]`."""
    try:
        import_module("fa3_fwd._C")
    except (ImportError, OSError) as error:
        raise UnavailableError(f"fa3-fwd cannot be imported: {error}") from error
    if inputs.query.device.type != "cuda":
        raise UnavailableError("needs a CUDA device")
    return torch.ops.fa3_fwd.fwd


def _by_fa3(inputs: Inputs, dtype: torch.dtype = torch.bfloat16) -> Outputs:
    """Branch by branch."""
    forward = _fa3(inputs)
    branches = [
        tuple(tensor.transpose(0, 1)[None].contiguous().to(dtype) for tensor in branch)
        for branch in zip(inputs.query, inputs.keys, inputs.values, strict=True)
    ]
    return lambda: [forward(*branch, num_splits=1)[0][0].transpose(0, 1) for branch in branches]


def _by_batched_fa3(inputs: Inputs, dtype: torch.dtype = torch.bfloat16) -> Outputs:
    """Both branches in one call: the text is last, so that `seqused_k` cuts each branch at its own length."""
    forward = _fa3(inputs)
    query = inputs.query.transpose(1, 2).contiguous().to(dtype)
    padded = [
        torch.nn.utils.rnn.pad_sequence([x.transpose(0, 1) for x in xs], batch_first=True).to(dtype)
        for xs in (inputs.keys, inputs.values)
    ]
    used = torch.tensor(inputs.lengths, dtype=torch.int32, device=query.device)
    return lambda: list(forward(query, *padded, seqused_k=used, num_splits=1)[0].transpose(1, 2))


VARIANTS: dict[str, Callable[[Inputs], Outputs]] = {
    "auto": lambda inputs: _by_torch(AttentionBackend.AUTO, inputs),
    "cuDNN": lambda inputs: _by_torch(AttentionBackend.CUDNN, inputs),
    "flash-2": lambda inputs: _by_torch(AttentionBackend.FLASH, inputs),
    "FA3": _by_fa3,
    "FA3, batched": _by_batched_fa3,
    "FA3, FP8": lambda inputs: _by_fa3(inputs, torch.float8_e4m3fn),
    "FA3, FP8, batched": lambda inputs: _by_batched_fa3(inputs, torch.float8_e4m3fn),
}
