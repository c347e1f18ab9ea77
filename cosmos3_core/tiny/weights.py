"""Random weights: every tensor is drawn from its name and a seed, scaled so that activations stay in a normal range.

Values come from numpy's PCG64, so they do not depend on torch's version, on threads or on the order of drawing.
The scales are chosen so that prompt, seed, image, sound and action each visibly change the output; nothing is trained.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Rule:
    """How tensors whose name matches are drawn: `mean + std x normal`, or scaled by the fan-in where `fan_in`."""

    pattern: str
    mean: float = 0.0
    std: float = 1.0
    fan_in: bool = True


_FALLBACK = (
    Rule(r"(^|\.)norm\w*\.weight$|layernorm\w*\.weight$|\.gamma$", mean=1.0, std=0.05, fan_in=False),
    Rule(r"bias$", std=0.02, fan_in=False),
    Rule(r".*"),
)

TRANSFORMER_RULES = (
    Rule(r"embed_tokens\.weight$", fan_in=False),
    Rule(r"lm_head\.weight$", std=3.0),
    # Sharp attention, so that single text tokens matter instead of their average.
    Rule(
        r"(norm_q|norm_k|norm_added_q|norm_added_k|k_norm_und_for_gen)\.weight$",
        mean=1.5,
        std=0.1,
        fan_in=False,
    ),
    # Weak velocities and feed-forwards keep the run from amplifying rounding errors, as a trained model would.
    Rule(r"down_proj\.weight$", std=0.4),
    Rule(r"(^|audio_)proj_out\.weight$|action_proj_out\.fc\.weight$", std=0.4),
    Rule(r"self_attn\.to_add_out\.weight$", std=1.3),
    Rule(r"modality_embed$", std=0.5, fan_in=False),
    Rule(r"action_proj_in\.fc\.weight$", std=16.0),
    Rule(r"action_proj_(in|out)\.bias\.weight$", std=0.1, fan_in=False),
    *_FALLBACK,
)
# The last layer of every residual path is weak, so that `vae` can route colour along the shortcuts.
VAE_RULES = (
    Rule(r"(conv2|resample\.1|time_conv|attentions\.0\.proj)\.weight$", std=0.15),
    *_FALLBACK,
)
SOUND_RULES = (
    Rule(r"(alpha|beta)$", std=0.1, fan_in=False),
    Rule(r"res_unit\d\.conv2\.weight_v$", std=0.2),
    Rule(r"decoder\.conv2\.weight_v$", std=0.1),
    *_FALLBACK,
)
VISION_RULES = (
    Rule(r"pos_embed\.weight$|position_embedding\.weight$", std=0.3, fan_in=False),
    *_FALLBACK,
)


def draw_tensors(shapes: Shapes, rules: tuple[Rule, ...], seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """A tensor for every name; a weight-normalised layer gets the gain that makes weight and direction equal."""
    drawn: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("weight_g"):
            direction = _draw(f"{name[:-1]}v", shapes[f"{name[:-1]}v"], rules, seed)
            values = np.sqrt((direction**2).sum(axis=tuple(range(1, direction.ndim)), keepdims=True))
        else:
            values = _draw(name, shape, rules, seed)
        drawn[name] = torch.from_numpy(values).to(dtype)
    return drawn


def _draw(name: str, shape: tuple[int, ...], rules: tuple[Rule, ...], seed: int) -> NDArray[np.float32]:
    rule = next(rule for rule in rules if re.search(rule.pattern, name))
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    normal = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    values = normal.standard_normal(shape, dtype=np.float32)
    std = rule.std / math.sqrt(_fan_in(name, shape)) if rule.fan_in else rule.std
    return np.asarray(rule.mean + std * values, dtype=np.float32)


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Inputs per output. A per-domain matrix is stored flat; a transposed convolution has its inputs first."""
    if ".conv_t1." in name:
        # Stride s and kernel 2s: two taps of every input channel meet in an output sample.
        return 2 * shape[0]
    if name.startswith(("action_proj_in.fc", "action_proj_out.fc")):
        return math.isqrt(shape[1])
    return math.prod(shape[1:]) if len(shape) > 1 else 1
