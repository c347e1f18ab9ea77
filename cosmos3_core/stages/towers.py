"""Read one tower of a checkpoint's `transformer/` folder, and nothing of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.names import keeps_fp32, published_names
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, TensorPart, load

Tower = TypeVar("Tower", UnderstandingTower, GenerationTower)


def load_tower(
    kind: type[Tower],
    checkpoint: Checkpoint,
    settings: ExecutionSettings,
    shard: Callable[[Tower], Mapping[str, TensorPart]] = lambda tower: {},
) -> tuple[Tower, LoadReport]:
    """A tower with its weights on the device, and what was read for it.

    Args:
        kind: the tower's class.
        checkpoint: the checkpoint to read from.
        settings: device, dtype and attention kernel.
        shard: cuts the tower, still on the meta device, to what this rank holds, and returns which parts those are.

    Raises:
        CheckpointError: missing, unexpected or misshapen tensors, or not enough memory.
    """
    config = checkpoint.transformer_config
    with torch.device("meta"):
        tower = kind(config, AttentionBackend(settings.attention))
    report = load(
        tower,
        checkpoint.folder("transformer"),
        device=settings.torch_device,
        dtype=settings.torch_dtype,
        known=published_names(config),
        keep_fp32=keeps_fp32,
        parts=shard(tower),
        memory_limit=settings.memory_limit_bytes,
    )
    return tower, report
