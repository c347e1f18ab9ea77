"""Load one half of a diffusers codec, so that a stage holds only the half that it runs."""

from __future__ import annotations

from typing import Any

import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.construct import construct
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, load


def load_half(
    codec: type[Any],
    component: str,
    checkpoint: Checkpoint,
    settings: ExecutionSettings,
    *,
    without: tuple[str, ...],
    dtype: torch.dtype,
) -> tuple[Any, LoadReport]:
    """A codec without some of its submodules: only the remaining ones are read.

    Args:
        codec: the diffusers class.
        component: the checkpoint's folder.
        checkpoint: the checkpoint to read from.
        settings: the device to load to, and the memory limit.
        without: names of the submodules that another stage holds.
        dtype: dtype of the weights.
    """
    module = construct(codec, checkpoint.read_json(f"{component}/config.json"))
    known = set(module.state_dict())
    for name in without:
        setattr(module, name, None)
    report = load(
        module,
        checkpoint.folder(component),
        device=settings.torch_device,
        dtype=dtype,
        known=known,
        memory_limit=settings.memory_limit_bytes,
    )
    return module, report
