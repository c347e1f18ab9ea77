"""The attention of several weighted controls, plainly (spec 9.4), in place of that of diffusers' transformer.

diffusers puts all controls into one sequence and knows no weights. Here every control is seen by itself: for control i,
its tokens and those of what is generated attend to [text | control i | generated]. A control's output is that of its
own pass; what is generated gets the average of all passes, by weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
    """Softmax attention of `[tokens, heads, head_dim]`, several query heads to one of the keys; `[tokens, width]`."""
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
    scores = torch.einsum("qhd,khd->hqk", query, key) / math.sqrt(query.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -math.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(dim=-1), value).flatten(1)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`[tokens, heads, head_dim]` turned to its positions (spec 3.1)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat([-second, first], dim=-1) * sin[:, None]


class WeightedControls:
    """Takes the place of an attention processor of diffusers' transformer.

    Attributes:
        weights: of each control, adding up to 1; the controls stand first in the generation tokens.
        tokens: of one control, and of what is generated.
    """

    def __init__(self, weights: Sequence[float], tokens: int) -> None:
        self.weights = [weight / sum(weights) for weight in weights]
        self.tokens = tokens

    def __call__(self, layer: Any, text: Tensor, media: Tensor, rope: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Normalised hidden states of the text and of the generation tokens to what is added to them."""

        def heads(x: Tensor) -> Tensor:
            split: Tensor = x.unflatten(-1, (-1, layer.head_dim))
            return split

        text_rope, media_rope = rope[:2], rope[2:]
        text_query, text_key = layer.norm_q(heads(layer.to_q(text))), layer.norm_k(heads(layer.to_k(text)))
        text_value = heads(layer.to_v(text))
        own_norm = layer.k_norm_und_for_gen
        seen_key = rotated(text_key if own_norm is None else own_norm(text_key), *text_rope)
        query = rotated(layer.norm_added_q(heads(layer.add_q_proj(media))), *media_rope)
        key = rotated(layer.norm_added_k(heads(layer.add_k_proj(media))), *media_rope)
        value = heads(layer.add_v_proj(media))
        read = attention(rotated(text_query, *text_rope), rotated(text_key, *text_rope), text_value, causal=True)
        return layer.to_out(read), layer.to_add_out(self._read(query, key, value, seen_key, text_value))

    def _read(self, query: Tensor, key: Tensor, value: Tensor, text_key: Tensor, text_value: Tensor) -> Tensor:
        if len(query) == self.tokens:
            # The pass without controls.
            return attention(query, torch.cat([text_key, key]), torch.cat([text_value, value]))
        *controls, generated = torch.arange(len(query)).split(self.tokens)
        outputs, average = [], torch.zeros(())
        for control, weight in zip(controls, self.weights, strict=True):
            seen = torch.cat([control, generated])
            read = attention(query[seen], torch.cat([text_key, key[seen]]), torch.cat([text_value, value[seen]]))
            outputs.append(read[: self.tokens])
            average = average + weight * read[self.tokens :]
        return torch.cat([*outputs, average])


@contextmanager
def weighted_controls(transformer: Any, weights: Sequence[float], tokens: int) -> Iterator[None]:
    """The transformer with that attention in every layer.

    Args:
        transformer: diffusers'.
        weights: of each control.
        tokens: of one control, and of what is generated.
    """
    layers = [layer.self_attn for layer in transformer.layers]
    shipped = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.processor = WeightedControls(weights, tokens)
        yield
    finally:
        for layer, processor in zip(layers, shipped, strict=True):
            layer.processor = processor
