"""Cosmos 3 without a server: checkpoints, the two towers, the sampler, the codecs, and a pipeline of them.

It imports neither Ray nor an HTTP library; `deployments` places these classes in a serving graph. Names are imported at
their first use, so that a command that needs none of them starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmos3_core.checkpoint import Checkpoint
    from cosmos3_core.errors import CheckpointError, CosmosError, RequestError
    from cosmos3_core.local import GenerationResult, LocalPipeline
    from cosmos3_core.manifest import Manifest
    from cosmos3_core.modes import Mode
    from cosmos3_core.request import GenerationRequest
    from cosmos3_core.settings import ExecutionSettings

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CosmosError",
    "ExecutionSettings",
    "GenerationRequest",
    "GenerationResult",
    "LocalPipeline",
    "Manifest",
    "Mode",
    "RequestError",
]
_HOMES = {
    "Checkpoint": "checkpoint",
    "CheckpointError": "errors",
    "CosmosError": "errors",
    "RequestError": "errors",
    "GenerationResult": "local",
    "LocalPipeline": "local",
    "Manifest": "manifest",
    "Mode": "modes",
    "GenerationRequest": "request",
    "ExecutionSettings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
