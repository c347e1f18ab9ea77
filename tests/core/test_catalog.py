"""The published checkpoints' shapes against the parameter counts of the specification (spec 1.8)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core import geometry
from cosmos3_core.catalog import (
    CATALOG,
    SOUND_DECODER_PARAMETERS,
    VIDEO_DECODER_PARAMETERS,
    VIDEO_ENCODER_PARAMETERS,
    CatalogEntry,
    Family,
    family_of,
    find_entry,
)
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.names import published_shapes
from cosmos3_core.modes import Mode
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
SOUND_HEADS = {Family.NANO: 532_544, Family.SUPER: 665_664, Family.EDGE: 0}
ACTION_HEADS = {Family.NANO: 16_914_432, Family.SUPER: 21_142_528, Family.EDGE: 8_458_240}
BASES = {Family.NANO: "nvidia/Cosmos3-Nano", Family.SUPER: "nvidia/Cosmos3-Super", Family.EDGE: "nvidia/Cosmos3-Edge"}
ONE_TASK = {
    "Super-Text2Image": Mode.TEXT_TO_IMAGE,
    "Super-Text2Image-4Step": Mode.TEXT_TO_IMAGE,
    "Super-Image2Video": Mode.IMAGE_TO_VIDEO,
    "Super-Image2Video-4Step": Mode.IMAGE_TO_VIDEO,
    "Nano-Policy-DROID": Mode.POLICY,
    "Edge-Policy-DROID": Mode.POLICY,
}
each_entry = pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)


@each_entry
def test_the_shapes_make_the_published_number_of_parameters(entry: CatalogEntry) -> None:
    base = BASES[entry.family]
    counted = sum(math.prod(shape) for shape in published_shapes(entry.config).values())
    left_out = (0 if entry.sound else SOUND_HEADS[entry.family]) + (
        0 if entry.config.action_gen else ACTION_HEADS[entry.family]
    )
    assert counted == TRANSFORMER[base] - left_out
    if entry.chats:
        assert counted + entry.vision_parameters == WITH_VIT[base] - left_out


def test_the_distilled_checkpoints_have_the_size_that_is_on_disk() -> None:
    """Spec 1.1: about 131 and 129 GB, the former with a sound codec that it never uses."""
    codec = 2 * (VIDEO_ENCODER_PARAMETERS + VIDEO_DECODER_PARAMETERS)
    shapes = published_shapes(CATALOG["nvidia/Cosmos3-Super-Image2Video-4Step"].config)
    size = 2 * sum(math.prod(shape) for shape in shapes.values()) + codec
    assert (round(size / 1e9), round((size + 4 * 496_287_362) / 1e9)) == (129, 131)


@each_entry
def test_an_entry_agrees_with_its_configuration(entry: CatalogEntry) -> None:
    assert family_of(entry.config) is entry.family
    assert set(entry.tiers) <= geometry.SIZES.keys()
    assert entry.config.action_gen or not any(mode.is_action for mode in entry.modes)


@each_entry
def test_its_own_numbers_are_for_modes_that_it_has(entry: CatalogEntry) -> None:
    assert entry.numbers.keys() <= {mode.row.output for mode in entry.modes}
    for own in entry.numbers.values():
        assert own.tier is None or own.tier in entry.tiers
        if own.canvas is not None:
            sizes = [size for tier in entry.tiers for size in geometry.SIZES[tier].values()]
            assert (own.canvas.width, own.canvas.height) in sizes


def test_what_each_checkpoint_was_made_for() -> None:
    """HTTP specification 4.3."""
    for name, entry in CATALOG.items():
        only = ONE_TASK.get(name.removeprefix("nvidia/Cosmos3-"))
        assert entry.modes == (tuple(Mode) if only is None else (only,))
        assert (entry.levels is not None) == name.endswith("-4Step")
        assert (entry.config.base_fps == 16) == ("Image2Video" in name)


@pytest.mark.parametrize("name", ["nvidia/Cosmos3-Nano-Policy-DROID", "Cosmos3-Nano-Policy-DROID"])
def test_an_entry_is_found_by_its_id_and_by_the_repositorys_name(name: str) -> None:
    found = find_entry(name)
    assert found is not None and found.id == "nvidia/Cosmos3-Nano-Policy-DROID"


@pytest.mark.parametrize("name", ["", "nano", "Cosmos3", "someone/Cosmos3-Nano", "nvidia/Cosmos3-Nano-tuned"])
def test_what_is_not_in_the_catalog_is_not_found(name: str) -> None:
    assert find_entry(name) is None


@each_entry
def test_the_page_of_the_models_says_what_the_catalog_says(entry: CatalogEntry) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    cells = next(line for line in page.splitlines() if line.startswith(f"| `{entry.id}` |")).split("|")[2:-1]
    modes, sound, chat, tiers, _, recipes = (cell.strip() for cell in cells)
    assert modes == ("all" if entry.modes == tuple(Mode) else ", ".join(f"`{mode.value}`" for mode in entry.modes))
    assert (sound == "yes", chat == "yes") == (entry.sound, entry.chats)
    assert tiers == ", ".join(entry.tiers)
    assert recipes == ", ".join(f"`{name}`" for name in entry.recipes)


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
