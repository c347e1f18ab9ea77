"""Handles of other deployments, all made in one way: arguments and results go through the object store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray import serve

Handle = serve.handle.DeploymentHandle


def stage(deployment: str, application: str) -> Any:
    """A handle of a deployment. By reference, for gRPC refuses messages above 4 MB (spec ray_serve 4)."""
    return serve.get_deployment_handle(deployment, application).options(_by_reference=True)


@dataclass(frozen=True)
class Stages:
    """The stages of one generation."""

    encoder: Any
    generator: Any
    decoder: Any

    @classmethod
    def of(cls, application: str, decoder: str) -> Stages:
        """The stages of a model's application and of the decoder's."""
        return cls(
            encoder=stage("Encoder", application),
            generator=stage("Generator", application).options(stream=True),
            decoder=stage("Decoder", decoder),
        )
