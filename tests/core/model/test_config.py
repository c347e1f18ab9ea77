"""`transformer/config.json` as a typed value (spec 1.4, 2.6)."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos3_core.model.config import ConfigError, TransformerConfig
from tests.published import EDGE, EDGE_CONFIG, NANO, NANO_CONFIG, SUPER_CONFIG


def test_the_published_fields_arrive() -> None:
    assert (NANO.config.hidden_size, NANO.config.rope_axes_dim, NANO.config.rope_theta) == (
        4096,
        (24, 20, 20),
        5e6,
    )
    assert not NANO.config.nemotron_norm
    assert not NANO.config.understanding_key_norm_for_generation
    assert EDGE.config.nemotron_norm
    assert EDGE.config.understanding_key_norm_for_generation
    assert not EDGE.config.sound_gen


@pytest.mark.parametrize(
    ("published", "kilobytes"), [(NANO_CONFIG, 147_456), (SUPER_CONFIG, 262_144), (EDGE_CONFIG, 114_688)]
)
def test_bytes_of_keys_and_values_per_text_token(published: dict[str, Any], kilobytes: int) -> None:
    assert TransformerConfig.from_dict(published).key_value_bytes(1, 2) == kilobytes


def test_sections_are_read_from_either_field() -> None:
    tiny = NANO_CONFIG | {"head_dim": 64, "rope_scaling": {"mrope_section": [12, 10, 10]}}
    assert TransformerConfig.from_dict(tiny).rope_axes_dim == (12, 10, 10)
    named = NANO_CONFIG | {"rope_scaling": None, "rope_axes_dim": [24, 20, 20]}
    assert TransformerConfig.from_dict(named).rope_axes_dim == (24, 20, 20)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"num_key_value_heads": 5}, "num_key_value_heads"),
        ({"rope_scaling": {"mrope_section": [8, 8, 8]}}, "rope_axes_dim"),
        ({"patch_latent_dim": 64}, "patch_latent_dim"),
        ({"unified_3d_mrope_reset_spatial_ids": False}, "unified_3d_mrope_reset_spatial_ids"),
        ({"vocab_size": None}, "vocab_size"),
        ({"hidden_size": None, "head_dim": None}, "hidden_size, head_dim"),
    ],
)
def test_a_contradiction_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        TransformerConfig.from_dict(NANO_CONFIG | change)


def test_unknown_fields_are_passed_over() -> None:
    assert TransformerConfig.from_dict(NANO_CONFIG | {"new_field": 1}) == NANO.config
