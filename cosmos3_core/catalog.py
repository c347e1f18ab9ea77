"""The published checkpoints: which family, what each was made for, which sizes it knows (spec 1.1).

A folder that is not in the list is served by what its own configuration says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.modes import Mode


class Family(StrEnum):
    """Size class; decides which column of a preset applies."""

    NANO = "nano"
    SUPER = "super"
    EDGE = "edge"


ALL_MODES = tuple(Mode)


@dataclass(frozen=True)
class CatalogEntry:
    """One published checkpoint.

    Attributes:
        id: its Hugging Face id.
        family: its size class.
        modes: what it was trained to do.
        sound: whether it makes sound.
        tiers: size tiers it was trained on.
        gated: whether its page asks for consent first.
    """

    id: str
    family: Family
    modes: tuple[Mode, ...] = ALL_MODES
    sound: bool = True
    tiers: tuple[str, ...] = ("256", "480", "720")
    gated: bool = True


_SUPER_TIERS = ("256", "480", "720", "768")
CATALOG: dict[str, CatalogEntry] = {
    entry.id: entry
    for entry in (
        CatalogEntry("nvidia/Cosmos3-Nano", Family.NANO),
        CatalogEntry("nvidia/Cosmos3-Super", Family.SUPER, tiers=_SUPER_TIERS),
        CatalogEntry("nvidia/Cosmos3-Edge", Family.EDGE, sound=False, tiers=("256", "480"), gated=False),
    )
}
"""The base checkpoints. The specialised ones (Text2Image, Image2Video, 4-step, Policy-DROID) join with their modes."""


def family_of(config: TransformerConfig) -> Family:
    """The size class of a configuration: Edge by its activation, Super by its query width."""
    if config.hidden_act == "relu2":
        return Family.EDGE
    wide = config.num_attention_heads * config.head_dim > config.hidden_size
    return Family.SUPER if wide and config.hidden_size >= 5120 else Family.NANO
