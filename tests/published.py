"""What requests must know of the published checkpoints (spec 1.3, 1.4, 5.5, 7.1)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from cosmos3_core.catalog import CATALOG, Family
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.resolving.facts import ModelFacts, SchedulerFacts, SoundFacts


def as_published(config: TransformerConfig) -> dict[str, Any]:
    """A configuration as it stands in `transformer/config.json`."""
    fields = asdict(config)
    axes = fields.pop("rope_axes_dim")
    scaling = {"mrope_section": list(axes), "mrope_interleaved": True}
    sound = {} if config.sound_gen else {"sound_dim": None}
    return {"_class_name": "Cosmos3OmniTransformer", **fields, "rope_scaling": scaling, **sound}


NANO_CONFIG: Final = as_published(CATALOG["nvidia/Cosmos3-Nano"].config)
SUPER_CONFIG: Final = as_published(CATALOG["nvidia/Cosmos3-Super"].config)
EDGE_CONFIG: Final = as_published(CATALOG["nvidia/Cosmos3-Edge"].config)

NANO: Final = ModelFacts(
    config=TransformerConfig.from_dict(NANO_CONFIG),
    family=Family.NANO,
    scheduler=SchedulerFacts(flow_shift=1.0, karras=True, sigma_min=0.147, sigma_max=200.0),
    sound=SoundFacts(sampling_rate=48_000, hop=1920),
)
EDGE: Final = ModelFacts(
    config=TransformerConfig.from_dict(EDGE_CONFIG),
    family=Family.EDGE,
    scheduler=SchedulerFacts(flow_shift=3.0, native_flow=True),
    default_system_prompt=False,
)
