"""The settings of a Generator and its gang of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cosmos3_core.adapters.use import AdapterName, AdapterWeight
from cosmos3_core.parallel.degrees import Degrees
from deployments.settings.base import MEGABYTE, Bytes, Settings, StageSettings


class ParallelSettings(Settings):
    """How a gang is split; see `cosmos3_core.parallel.degrees`.

    Attributes:
        tp: ranks over heads and MLP columns; splits the weights.
        cfg: 2 runs the guidance branches side by side.
        ulysses: ranks over generation tokens.
    """

    tp: Annotated[int, Field(ge=1)] = 1
    cfg: Annotated[int, Field(ge=1, le=2)] = 1
    ulysses: Annotated[int, Field(ge=1)] = 1

    @property
    def degrees(self) -> Degrees:
        """The same for the core."""
        return Degrees(self.tp, self.cfg, self.ulysses)

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.degrees.world_size


class PatienceSettings(Settings):
    """How long a task of each class waits for its next step, in seconds, before it goes ahead of shorter ones."""

    interactive: Annotated[float, Field(gt=0)] = 5.0
    standard: Annotated[float, Field(gt=0)] = 30.0
    batch: Annotated[float, Field(gt=0)] = 120.0


class GeneratorSettings(StageSettings):
    """A Generator: a leader and its gang of ranks.

    Attributes:
        attention, batch_guidance: see `cosmos3_core.settings`.
        parallel: how the ranks share the work; their number is the product.
        adapters: safetensors files with LoRA, or their folders, on the ranks' machines, by the names that requests use.
        default_adapters: the weights of those that a request gets when it names none.
        spread: `auto` lets every rank compute all of a small request where sharing it would be slower; `always` shares.
        leader_resources, rank_resources: of one placement group bundle each, such as `{CPU: 1, GPU: 1}`.
        placement_strategy: Serve's placement group strategy.
        key_value_bytes: budget of a rank for prompts' keys and values.
        resident_bytes: what the tasks that a rank holds may take on it; more wait outside.
        batch_tasks: requests of one geometry that may share a forward pass. Above 1 results are no longer bit-identical
            to running alone.
        patience_s: bounds on waiting.
        snapshot_interval_s: how often the state of a running task is saved.
        preview_interval_s: how often a preview is made, where the model's `previews` are on.
        step_deadline_s: a step that takes longer makes the gang unhealthy.
    """

    attention: str = "auto"
    batch_guidance: bool = True
    parallel: ParallelSettings = ParallelSettings()
    adapters: dict[AdapterName, Path] = Field(default_factory=dict)
    default_adapters: dict[AdapterName, AdapterWeight] = Field(default_factory=dict)
    spread: Literal["auto", "always"] = "auto"
    leader_resources: dict[str, float] = Field(default_factory=lambda: {"CPU": 1.0})
    rank_resources: dict[str, float] = Field(default_factory=lambda: {"CPU": 1.0, "GPU": 1.0})
    placement_strategy: Literal["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"] = "STRICT_PACK"
    key_value_bytes: Bytes = 2048 * MEGABYTE
    resident_bytes: Bytes = 4096 * MEGABYTE
    batch_tasks: Annotated[int, Field(ge=1)] = 1
    patience_s: PatienceSettings = PatienceSettings()
    snapshot_interval_s: Annotated[float, Field(gt=0)] = 30.0
    preview_interval_s: Annotated[float, Field(ge=1)] = 1.0
    step_deadline_s: Annotated[float, Field(gt=0)] = 300.0

    @model_validator(mode="after")
    def _known_defaults(self) -> Self:
        unknown = sorted(self.default_adapters.keys() - self.adapters.keys())
        if unknown:
            raise ValueError(f"default_adapters names {', '.join(unknown)}, which adapters does not")
        return self

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.parallel.world_size

    def bundles(self) -> list[dict[str, float]]:
        """The replica's placement group: the leader first, then a bundle per rank."""
        return [dict(self.leader_resources), *(dict(self.rank_resources) for _ in range(self.world_size))]
