"""Cosmos 3 without a server: checkpoints, the two towers, the sampler, the codecs, and a pipeline of them.

It imports neither Ray nor an HTTP library; `deployments` places these classes in a serving graph.
"""

from cosmos3_core.checkpoint import Checkpoint, CheckpointError
from cosmos3_core.errors import CosmosError, RequestError
from cosmos3_core.local import GenerationResult, LocalPipeline
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
    "Mode",
    "RequestError",
]
