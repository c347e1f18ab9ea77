"""The published checkpoints: what each was made for, its shape and its own numbers, and its recipes (spec 1, 5.8, 8.8).

A folder that is not in the list is served as its own configuration says. Shapes are here so that plans need no folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cosmos3_core.geometry import Canvas
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.modes import Mode, Output


class Family(StrEnum):
    """Size class."""

    NANO = "nano"
    SUPER = "super"
    EDGE = "edge"


ALL_MODES = tuple(Mode)
DISTILLED_LEVELS = (1.0, 0.9375, 0.8333333, 0.625)
"""Noise levels of the 4-Step checkpoints (spec 5.6); what is served takes them from `scheduler_config.json`."""


@dataclass(frozen=True)
class OwnActions:
    """The robot that a policy was trained for; the fields of a request that names no other.

    Attributes:
        domain_name, raw_action_dim: the embodiment, and the width of its rows.
        action_chunk_size: actions that are made together.
        view_point: which camera the caption names.
    """

    domain_name: str
    raw_action_dim: int
    action_chunk_size: int
    view_point: str


@dataclass(frozen=True)
class OwnNumbers:
    """What a checkpoint does where the request says nothing, whatever the preset says; None leaves it to the preset.

    Attributes:
        num_inference_steps, guidance_scale, guidance_interval, flow_shift: the sampler.
        canvas, tier: the frame size where there is no source, and the size tier of actions and transfer.
        num_frames, fps: the length.
        system_prompt: whether there is one.
        actions: the robot.
    """

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    flow_shift: float | None = None
    canvas: Canvas | None = None
    tier: str | None = None
    num_frames: int | None = None
    fps: float | None = None
    system_prompt: bool | None = None
    actions: OwnActions | None = None


FAMILY_NUMBERS: dict[Family, dict[Output, OwnNumbers]] = {
    Family.EDGE: {
        Output.VIDEO: OwnNumbers(guidance_scale=5.0, flow_shift=3.0, canvas=Canvas(832, 480), tier="480"),
        Output.IMAGE: OwnNumbers(canvas=Canvas(640, 640)),
    }
}
"""Numbers of every checkpoint of a size class, also of those that the catalog does not have (spec 5.8)."""


@dataclass(frozen=True)
class CatalogEntry:
    """One published checkpoint.

    Attributes:
        id: its Hugging Face id.
        family: its size class.
        config: the shape of its towers.
        vision_parameters: parameters of its ViT (spec 1.8); 0 where it has none and so cannot chat.
        modes: what it was trained to do.
        tiers: size tiers it was trained on.
        gated: whether its page asks for consent before a download.
        levels: the fixed noise levels of a distilled checkpoint; None where the number of steps is free.
        numbers: its own numbers, by what a mode makes.
        recipes: names of the recipes in `serve_configs/` that it fits, the best one first.
    """

    id: str
    family: Family
    config: TransformerConfig
    vision_parameters: int
    modes: tuple[Mode, ...] = ALL_MODES
    tiers: tuple[str, ...] = ("256", "480", "720")
    gated: bool = True
    levels: tuple[float, ...] | None = None
    numbers: Mapping[Output, OwnNumbers] = field(default_factory=dict, hash=False)
    recipes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether it makes sound."""
        return self.config.sound_gen

    @property
    def chats(self) -> bool:
        """Whether it has all that a Reasoner needs."""
        return self.vision_parameters > 0


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

# What was trained for one task on top of Super has neither the heads of other modalities nor a ViT; the sizes on disk
# and what reads them say so (spec 1.1, 1.2).
_SUPER_IMAGES = replace(_SUPER, action_gen=False, sound_gen=False)
_SUPER_VIDEOS = replace(_SUPER_IMAGES, base_fps=16.0)
_NANO_POLICY = replace(_NANO, sound_gen=False)
_NANO_VIT, _SUPER_VIT, _EDGE_VIT = 576_388_336, 595_266_800, 489_342_704

_LARGE_IMAGE = {Output.IMAGE: OwnNumbers(canvas=Canvas(1024, 1024))}
# What NVIDIA's policy server does (spec 8.8).
_DROID = OwnNumbers(
    num_inference_steps=4,
    guidance_scale=3.0,
    flow_shift=5.0,
    tier="480",
    fps=15.0,
    system_prompt=False,
    actions=OwnActions("droid_lerobot", raw_action_dim=8, action_chunk_size=32, view_point="concat_view"),
)

_ENTRIES = (
    CatalogEntry(
        id="nvidia/Cosmos3-Nano",
        family=Family.NANO,
        config=_NANO,
        vision_parameters=_NANO_VIT,
        recipes=("nano-1gpu", "nano-4gpu", "nano-8gpu-latency", "nano-8gpu-throughput", "reasoner-only"),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Super",
        family=Family.SUPER,
        config=_SUPER,
        vision_parameters=_SUPER_VIT,
        tiers=("256", "480", "720", "768"),
        recipes=("super-2gpu", "super-8gpu", "reasoner-4gpu"),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Edge",
        family=Family.EDGE,
        config=_EDGE,
        vision_parameters=_EDGE_VIT,
        tiers=("256", "480"),
        gated=False,
        recipes=("edge",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Super-Text2Image",
        family=Family.SUPER,
        config=_SUPER_IMAGES,
        vision_parameters=0,
        modes=(Mode.TEXT_TO_IMAGE,),
        tiers=("256", "480", "720", "768"),
        numbers=_LARGE_IMAGE,
        recipes=("super-text2image",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Super-Image2Video",
        family=Family.SUPER,
        config=_SUPER_VIDEOS,
        vision_parameters=0,
        modes=(Mode.IMAGE_TO_VIDEO,),
        numbers={Output.VIDEO: OwnNumbers(flow_shift=1.0)},
        recipes=("super-image2video",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Super-Text2Image-4Step",
        family=Family.SUPER,
        config=_SUPER_IMAGES,
        vision_parameters=0,
        modes=(Mode.TEXT_TO_IMAGE,),
        tiers=("768",),
        levels=DISTILLED_LEVELS,
        numbers=_LARGE_IMAGE,
        recipes=("super-text2image",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Super-Image2Video-4Step",
        family=Family.SUPER,
        config=_SUPER_VIDEOS,
        vision_parameters=0,
        modes=(Mode.IMAGE_TO_VIDEO,),
        tiers=("480",),
        levels=DISTILLED_LEVELS,
        numbers={Output.VIDEO: OwnNumbers(canvas=Canvas(832, 480))},
        recipes=("super-image2video",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Nano-Policy-DROID",
        family=Family.NANO,
        config=_NANO_POLICY,
        vision_parameters=_NANO_VIT,
        modes=(Mode.POLICY,),
        tiers=("480",),
        numbers={Output.ROLLOUT: _DROID},
        recipes=("nano-policy-droid",),
    ),
    CatalogEntry(
        id="nvidia/Cosmos3-Edge-Policy-DROID",
        family=Family.EDGE,
        config=_EDGE,
        vision_parameters=_EDGE_VIT,
        modes=(Mode.POLICY,),
        tiers=("480",),
        # Guidance in the first of the four steps only.
        numbers={Output.ROLLOUT: replace(_DROID, guidance_interval=(960.0, 1001.0))},
        recipes=("nano-policy-droid", "edge"),
    ),
)

CATALOG: dict[str, CatalogEntry] = {entry.id: entry for entry in _ENTRIES}
"""The published checkpoints by their ids."""

OWNER = "nvidia/"


def find_entry(name: str) -> CatalogEntry | None:
    """The entry of an id, or of a repository's name alone, which a folder with a download of it usually has."""
    return CATALOG.get(name) or CATALOG.get(f"{OWNER}{name}")


def family_of(config: TransformerConfig) -> Family:
    """The size class of a configuration: Edge by its activation, Super by its wide queries and wider MLP (spec 1.4)."""
    if config.hidden_act == "relu2":
        return Family.EDGE
    wide = config.num_attention_heads * config.head_dim > config.hidden_size
    return Family.SUPER if wide and config.intermediate_size > 4 * config.hidden_size else Family.NANO
