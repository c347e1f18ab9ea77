"""The published checkpoints' shapes against the parameter counts of the specification (spec 1.8)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cosmos3_core.catalog import (
    CATALOG,
    SOUND_DECODER_PARAMETERS,
    VIDEO_DECODER_PARAMETERS,
    VIDEO_ENCODER_PARAMETERS,
    CatalogEntry,
    Family,
    family_of,
)
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.names import published_shapes
from tests.published import EDGE_CONFIG, NANO_CONFIG, SUPER_CONFIG, as_published

TRANSFORMER = {
    "nvidia/Cosmos3-Nano": 15_173_669_120,
    "nvidia/Cosmos3-Super": 64_019_736_832,
    "nvidia/Cosmos3-Edge": 3_369_657_024,
}
WITH_VIT = {
    "nvidia/Cosmos3-Nano": 15_750_057_456,
    "nvidia/Cosmos3-Super": 64_615_003_632,
    "nvidia/Cosmos3-Edge": 3_858_999_728,
}


@pytest.mark.parametrize("name", CATALOG)
def test_the_shapes_make_the_published_number_of_parameters(name: str) -> None:
    entry = CATALOG[name]
    counted = sum(math.prod(shape) for shape in published_shapes(entry.config).values())
    assert counted == TRANSFORMER[name]
    assert counted + entry.vision_parameters == WITH_VIT[name]


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.family.value)
def test_an_entry_agrees_with_its_configuration(entry: CatalogEntry) -> None:
    assert family_of(entry.config) is entry.family
    assert entry.sound == entry.config.sound_gen


def test_the_codecs_make_the_size_that_is_on_disk() -> None:
    assert VIDEO_ENCODER_PARAMETERS + VIDEO_DECODER_PARAMETERS == 704_688_668
    assert SOUND_DECODER_PARAMETERS == 496_287_362 - 23_190_080


def test_a_configuration_is_written_as_it_was_published() -> None:
    edge = as_published(CATALOG["nvidia/Cosmos3-Edge"].config)
    assert edge["rope_scaling"] == {"mrope_section": [24, 20, 20], "mrope_interleaved": True}
    assert edge["sound_dim"] is None and "rope_axes_dim" not in edge


@pytest.mark.parametrize(
    ("published", "family"),
    [(NANO_CONFIG, Family.NANO), (SUPER_CONFIG, Family.SUPER), (EDGE_CONFIG, Family.EDGE)],
)
def test_the_family_follows_from_the_configuration(published: dict[str, Any], family: Family) -> None:
    assert family_of(TransformerConfig.from_dict(published)) is family
