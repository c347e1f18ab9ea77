"""The primitives of the towers: norms, feed-forward, domains, time embedding (spec 2.3, 2.4, 2.7, 14)."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import silu

from cosmos3_core.model.layers import (
    DomainLinear,
    GatedMLP,
    RMSNorm,
    SquaredReluMLP,
    TimestepEmbedder,
    mlp,
    rms_norm,
)
from tests.published import EDGE, NANO


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_qwen_norm_rounds_before_the_weight_and_nemotron_after() -> None:
    x, weight = random(64, 256).bfloat16(), random(256, seed=1).bfloat16()
    unit = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
    expected = {False: unit.bfloat16() * weight, True: (weight.float() * unit).bfloat16()}
    assert not torch.equal(expected[False], expected[True])
    for nemotron, values in expected.items():
        norm = RMSNorm(256, 1e-6, nemotron)
        norm.weight.data = weight
        assert torch.equal(norm(x), values)


def test_each_family_has_its_norm_and_its_feed_forward() -> None:
    with torch.device("meta"):
        nano, edge = rms_norm(NANO.config, 128), rms_norm(EDGE.config, 128)
        assert isinstance(mlp(NANO.config), GatedMLP)
        assert isinstance(mlp(EDGE.config), SquaredReluMLP)
    assert (nano.nemotron, nano.eps, edge.nemotron, edge.eps) == (False, 1e-6, True, 1e-5)


@torch.no_grad()
def test_feed_forward_formulas() -> None:
    x = random(3, 8)
    gated, squared = GatedMLP(8, 16), SquaredReluMLP(8, 16)
    up = x @ gated.up_proj.weight.T
    expected = (silu(x @ gated.gate_proj.weight.T) * up) @ gated.down_proj.weight.T
    assert torch.allclose(gated(x), expected, atol=1e-6)
    up = (x @ squared.up_proj.weight.T).clamp(min=0)
    assert torch.allclose(squared(x), (up * up) @ squared.down_proj.weight.T, atol=1e-6)


@torch.no_grad()
def test_a_domain_matrix_is_stored_input_major() -> None:
    linear, x = DomainLinear(3, 5, domains=4), random(2, 3)
    stored = linear.fc.weight[2]
    out = linear(x, 2)
    for row in range(2):
        for column in range(5):
            product = sum(x[row, i] * stored[i * 5 + column] for i in range(3))
            assert out[row, column] == pytest.approx(float(product + linear.bias.weight[2, column]), abs=1e-6)


@pytest.mark.parametrize(
    ("timestep", "values"),
    [
        (
            999.0,
            {0: 0.541144, 1: 0.598121, 2: 0.648565, 127: 1.0, 128: 0.840930, 129: 0.801406, 255: 1.07e-4},
        ),
        (500.0, {0: 0.877583, 1: 0.893693, 2: 0.907719, 127: 1.0, 128: 0.479426, 129: 0.448678, 255: 5.4e-5}),
    ],
)
def test_the_sinusoid_has_the_golden_values(timestep: float, values: dict[int, float]) -> None:
    sinusoid = TimestepEmbedder(8, timestep_scale=0.001).sinusoid(timestep)
    assert sinusoid.dtype == torch.float32
    assert {i: sinusoid[i].item() for i in values} == pytest.approx(values, abs=1e-6)


@torch.no_grad()
def test_the_time_embedding_is_two_linear_maps_around_a_silu() -> None:
    embedder = TimestepEmbedder(8, timestep_scale=0.001)
    hidden = silu(embedder.linear_1(embedder.sinusoid(416.0)))
    assert torch.allclose(embedder(416.0), embedder.linear_2(hidden), atol=1e-6)
    assert embedder(416.0).shape == (8,)
