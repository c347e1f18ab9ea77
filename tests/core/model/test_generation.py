"""Attention with several controls: each by itself with what is generated, averaged by weight (spec 9.4)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.generation import ControlBlend, JointAttention
from cosmos3_core.model.layout import SequenceLayout

HEADS, KEY_HEADS, WIDTH, TEXT = 4, 2, 8, 5
CONTROL, OWN = 6, 9


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def naive(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention written out, head by head."""
    shared = query.shape[0] // keys.shape[0]
    out = []
    for head, q in enumerate(query):
        k, v = keys[head // shared], values[head // shared]
        out.append(torch.softmax(q @ k.T / WIDTH**0.5, dim=-1) @ v)
    return torch.stack(out)


def inputs(tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    query, key = random(HEADS, tokens, WIDTH, seed=1), random(KEY_HEADS, tokens, WIDTH, seed=2)
    return query, key, random(KEY_HEADS, tokens, WIDTH, seed=3), random(2, KEY_HEADS, TEXT, WIDTH, seed=4)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.75, 0.25), (0.2, 0.3, 0.5)])
def test_what_is_generated_reads_each_control_by_its_weight(weights: tuple[float, ...]) -> None:
    tokens = CONTROL * len(weights) + OWN
    query, key, value, text = inputs(tokens)
    joint = JointAttention(AttentionBackend.MATH)
    found = joint(query, key, value, text, ControlBlend(CONTROL, weights))
    own = list(range(CONTROL * len(weights), tokens))
    expected = torch.zeros(HEADS, OWN, WIDTH)
    for index, weight in enumerate(weights):
        control = list(range(index * CONTROL, (index + 1) * CONTROL))
        # A control and what is generated see the text, that control and what is generated.
        seen = [*control, *own]
        keys, values = torch.cat([text[0], key[:, seen]], 1), torch.cat([text[1], value[:, seen]], 1)
        assert torch.allclose(found[:, control], naive(query[:, control], keys, values), atol=1e-6)
        expected += weight * naive(query[:, own], keys, values)
    assert torch.allclose(found[:, own], expected, atol=1e-6)


def test_one_control_is_plain_attention() -> None:
    query, key, value, text = inputs(CONTROL + OWN)
    joint = JointAttention(AttentionBackend.MATH)
    plain, blended = joint(query, key, value, text), joint(query, key, value, text, ControlBlend(CONTROL, (1.0,)))
    assert torch.equal(plain, blended)


def test_a_sequence_is_blended_where_it_has_several_controls() -> None:
    layout = SequenceLayout(2, 4, 6, fps=24.0)
    assert ControlBlend.of(layout, 2) is None
    one = SequenceLayout(2, 4, 6, fps=24.0, given_weights=(1.0,))
    assert ControlBlend.of(one, 2) is None
    several = SequenceLayout(2, 4, 6, fps=24.0, given_weights=(0.4, 0.6))
    assert ControlBlend.of(several, 2) == ControlBlend(12, (0.4, 0.6))
