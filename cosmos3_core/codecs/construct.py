"""Build a diffusers codec from its published configuration."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch


def construct(codec: type[Any], config: Mapping[str, Any]) -> Any:
    """An instance on the meta device. Keys the class does not know (`clip_output` of the VAE) are left out."""
    known = inspect.signature(codec.__init__).parameters
    with torch.device("meta"), warnings.catch_warnings():
        # diffusers still uses the older of torch's two weight norms.
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        return codec(**{key: value for key, value in config.items() if key in known})
