"""Build a diffusers codec from its published configuration, and give one half of it its weights."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.weights import LoadReport, load


def construct(codec: type[Any], config: Mapping[str, Any]) -> Any:
    """An instance on the meta device. Keys the class does not know (`clip_output` of the VAE) are left out."""
    known = inspect.signature(codec.__init__).parameters
    with torch.device("meta"), warnings.catch_warnings():
        # diffusers still uses the older of torch's two weight norms.
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        return codec(**{key: value for key, value in config.items() if key in known})


def load_half(
    codec: type[Any],
    component: str,
    checkpoint: Checkpoint,
    settings: ExecutionSettings,
    *,
    without: tuple[str, ...],
    dtype: torch.dtype,
) -> tuple[Any, LoadReport]:
    """A codec without some of its submodules: only what is left is read.

    Args:
        codec: the diffusers class.
        component: the checkpoint's folder.
        checkpoint, settings: where from, and where to.
        without: names of the submodules that another stage holds.
        dtype: of the weights.
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
