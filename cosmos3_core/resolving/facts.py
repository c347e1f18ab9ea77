"""What a request must know of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.catalog import ALL_MODES, Family, OwnNumbers
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.modes import Mode, Output


@dataclass(frozen=True)
class SoundFacts:
    """The sound tokenizer's rates: samples per second, samples per latent frame."""

    sampling_rate: int
    hop: int


@dataclass(frozen=True)
class SchedulerFacts:
    """What `scheduler/scheduler_config.json` and `model_index.json` say about noise levels."""

    flow_shift: float = 1.0
    karras: bool = False
    sigma_min: float = 0.147
    sigma_max: float = 200.0
    native_flow: bool = False
    fixed_levels: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What a request must know of a checkpoint, and of the adapters that the operator has loaded with it.

    Attributes:
        config, family, scheduler, sound, default_system_prompt: as its files say.
        modes: what it can do.
        numbers: its own, which win over a preset's, by what a mode makes; None where it has none.
        adapters: names of the adapters that are loaded.
        default_adapters: those that apply when a request names none.
    """

    config: TransformerConfig
    family: Family
    scheduler: SchedulerFacts
    sound: SoundFacts | None = None
    default_system_prompt: bool = True
    modes: tuple[Mode, ...] = ALL_MODES
    numbers: Mapping[Output, OwnNumbers] | None = None
    adapters: tuple[str, ...] = ()
    default_adapters: tuple[AdapterUse, ...] = ()
