"""The matrix products of one layer: fused or apart in bf16, and FP8 with one scale per row or per tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.results import ItemResult, Measurement
from benchmarks.gpu.timing import repeated

SHAPES = ("t2i", "480p")
BRANCHES = 2
# A layer's weights are not in the cache when its turn comes, so that many sets take turns.
SETS = 4
FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max


@dataclass(frozen=True)
class Group:
    """Projections of the same input.

    Attributes:
        name: what they are.
        inputs: width of the input.
        outputs: width of each projection.
    """

    name: str
    inputs: int
    outputs: tuple[int, ...]


def measure(bench: Bench, result: ItemResult) -> None:
    """Every group of projections with the rows of an image and of a video."""
    config = bench.size.config
    query, kv = (heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads))
    groups = (
        Group("q, k, v", config.hidden_size, (query, kv, kv)),
        Group("attention output", query, (config.hidden_size,)),
        Group("gate, up", config.hidden_size, (config.intermediate_size, config.intermediate_size)),
        Group("down", config.intermediate_size, (config.hidden_size,)),
    )
    for name in SHAPES:
        rows = BRANCHES * bench.size.geometry(bench.size.shapes[name]).tokens
        for group in groups:
            _measure_group(bench, result, group, rows, name)


def _measure_group(bench: Bench, result: ItemResult, group: Group, rows: int, shape: str) -> None:
    inputs = torch.randn(rows, group.inputs, device=bench.device, dtype=torch.bfloat16)
    scale = group.inputs**-0.5
    fused = [
        torch.randn(sum(group.outputs), group.inputs, device=bench.device, dtype=torch.bfloat16) * scale
        for _ in range(SETS)
    ]
    variants: dict[str, list[Callable[[], object]]] = {"bf16": [_fused(inputs, weight) for weight in fused]}
    if len(group.outputs) > 1:
        apart = [weight.split(group.outputs) for weight in fused]
        variants["bf16 apart"] = [_apart(inputs, weights) for weights in apart]
    if bench.cuda:
        variants["FP8 rowwise"] = [_scaled(inputs, weight, by_row=True) for weight in fused]
        variants["FP8 tensorwise"] = [_scaled(inputs, weight, by_row=False) for weight in fused]
    else:
        result.omitted["FP8"] = "needs a CUDA device"
    for variant, calls in variants.items():
        _record(bench, result, f"{group.name}, {variant}, {shape}", group, rows, calls)


def _record(
    bench: Bench, result: ItemResult, name: str, group: Group, rows: int, calls: list[Callable[[], object]]
) -> None:
    hardware = bench.hardware
    flops = 2.0 * rows * group.inputs * sum(group.outputs)
    weights = 2.0 * group.inputs * sum(group.outputs)
    try:
        samples = repeated(bench, *calls)
    except Exception as error:
        result.omitted[name] = f"{type(error).__name__}: {error}"
        return
    product = flops / (hardware.flops_per_second * hardware.product_efficiency)
    prediction = max(product, weights / hardware.bytes_per_second)
    result.measurements.append(Measurement(name, samples, prediction_s=prediction, flops=flops))


def _fused(inputs: Tensor, weight: Tensor) -> Callable[[], object]:
    return lambda: linear(inputs, weight)


def _apart(inputs: Tensor, weights: Sequence[Tensor]) -> Callable[[], object]:
    return lambda: [linear(inputs, weight) for weight in weights]


def _scaled(inputs: Tensor, weight: Tensor, by_row: bool) -> Callable[[], object]:
    """A product of FP8 values that were made beforehand, with bf16 as its result."""
    left, left_scale = _quantised(inputs, by_row)
    right, right_scale = _quantised(weight, by_row)
    return lambda: torch._scaled_mm(
        left,
        right.t(),
        scale_a=left_scale,
        scale_b=right_scale.t() if by_row else right_scale,
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def _quantised(values: Tensor, by_row: bool) -> tuple[Tensor, Tensor]:
    """FP8 values and the fp32 scale that gives them back: `[rows, 1]`, or a single one."""
    largest = values.abs().amax(dim=1, keepdim=True) if by_row else values.abs().amax()
    scale = largest.float().clamp(min=1e-12) / FP8_MAX
    return (values / scale).to(FP8), scale
