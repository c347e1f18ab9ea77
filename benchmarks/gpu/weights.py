"""Weights without a checkpoint: drawn where they are used, by the tiny checkpoint's rules.

The values differ from the tiny checkpoint's, which are drawn on the CPU; their scales are the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from cosmos3_core.model.names import keeps_fp32
from cosmos3_core.tiny.weights import Rule

Tensors = dict[str, Tensor]


def draw_on(
    device: torch.device,
    shapes: Mapping[str, tuple[int, ...]],
    rules: Iterable[Rule],
    dtype: torch.dtype,
    seed: int = 0,
) -> Tensors:
    """A tensor for every name, on the device. The time embedding is fp32 whatever `dtype`."""
    generator = torch.Generator(device).manual_seed(seed)
    drawn: Tensors = {}
    for name, shape in shapes.items():
        rule = next(rule for rule in rules if re.search(rule.pattern, name))
        # The tiny checkpoint counts the inputs of action projections differently; no item uses them.
        std = rule.std / math.sqrt(math.prod(shape[1:])) if rule.fan_in else rule.std
        values = torch.empty(shape, device=device, dtype=torch.float32 if keeps_fp32(name) else dtype)
        drawn[name] = values.normal_(rule.mean, std, generator=generator)
    return drawn


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a module built on the meta device its tensors, without copying them."""
    module.load_state_dict({name: tensors[name] for name in module.state_dict()}, assign=True)
    module.eval().requires_grad_(False)


def in_fp32(module: nn.Module, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors of a module in fp32; those that are fp32 already are shared."""
    return {name: tensors[name].float() for name in module.state_dict()}
