"""The published checkpoints: which family, what each was made for, which sizes it knows, how large it is (spec 1).

A folder that is not in the list is served as its own configuration says. Shapes are here so that plans need no folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        config: the shape of its towers.
        vision_parameters: parameters of its ViT (spec 1.8).
        modes: what it was trained to do.
        sound: whether it makes sound.
        tiers: size tiers it was trained on.
        gated: whether its page asks for consent before a download.
    """

    id: str
    family: Family
    config: TransformerConfig
    vision_parameters: int
    modes: tuple[Mode, ...] = ALL_MODES
    sound: bool = True
    tiers: tuple[str, ...] = ("256", "480", "720")
    gated: bool = True


# `transformer/config.json` of the three sizes (spec 1.4); fields not given here have the class's default in all three.
_NANO = TransformerConfig(
    hidden_size=4096,
    intermediate_size=12288,
    num_hidden_layers=36,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    vocab_size=151936,
    rms_norm_eps=1e-6,
    rope_theta=5_000_000.0,
    action_gen=True,
    sound_gen=True,
)
_SUPER = replace(_NANO, hidden_size=5120, intermediate_size=25600, num_hidden_layers=64, num_attention_heads=64)
_EDGE = replace(
    _NANO,
    hidden_size=2048,
    intermediate_size=9216,
    num_hidden_layers=28,
    num_attention_heads=16,
    vocab_size=131072,
    rms_norm_eps=1e-5,
    rope_theta=100_000_000.0,
    hidden_act="relu2",
    qk_norm_for_text=False,
    use_und_k_norm_for_gen=True,
    sound_gen=False,
)

# Parameters of the codecs' halves, alike in all checkpoints that have them (spec 1.8); the quantising convolutions go
# with their halves, and the sound decoder counts weight-norm's two factors, as it is stored.
VIDEO_ENCODER_PARAMETERS = 149_627_776 + 9_312
VIDEO_DECODER_PARAMETERS = 555_049_228 + 2_352
SOUND_DECODER_PARAMETERS = 473_097_282

CATALOG: dict[str, CatalogEntry] = {
    entry.id: entry
    for entry in (
        CatalogEntry(id="nvidia/Cosmos3-Nano", family=Family.NANO, config=_NANO, vision_parameters=576_388_336),
        CatalogEntry(
            id="nvidia/Cosmos3-Super",
            family=Family.SUPER,
            config=_SUPER,
            vision_parameters=595_266_800,
            tiers=("256", "480", "720", "768"),
        ),
        CatalogEntry(
            id="nvidia/Cosmos3-Edge",
            family=Family.EDGE,
            config=_EDGE,
            vision_parameters=489_342_704,
            sound=False,
            tiers=("256", "480"),
            gated=False,
        ),
    )
}
"""The base checkpoints; the specialised ones (Text2Image, Image2Video, 4-step, Policy-DROID) come with their modes."""


def family_of(config: TransformerConfig) -> Family:
    """The size class of a configuration: Edge by its activation, Super by its query width."""
    if config.hidden_act == "relu2":
        return Family.EDGE
    wide = config.num_attention_heads * config.head_dim > config.hidden_size
    return Family.SUPER if wide and config.hidden_size >= 5120 else Family.NANO
