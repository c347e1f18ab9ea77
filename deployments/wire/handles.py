"""Handles of other deployments, and how they are asked: by reference, and never on behalf of nobody.

Whoever stops waiting for an answer, or stops reading a stream, cancels the call behind it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from ray import serve


def stage(deployment: str, application: str) -> Any:
    """A handle of a deployment, which may not be there yet: calls wait for it.

    By reference, for gRPC refuses messages above 4 MB (spec ray_serve 4). Without Serve's check that it exists, which
    would block the event loop and fail for an application that is still coming up.
    """
    return serve.get_deployment_handle(deployment, application, _check_exists=False).options(_by_reference=True)


async def answer_of(response: Any) -> Any:
    """The answer of a call."""
    answered = False
    try:
        answer = await response
        answered = True
        return answer
    finally:
        if not answered:
            response.cancel()


async def items_of(response: Any) -> AsyncGenerator[Any, None]:
    """The items of a streaming call; close it with `aclosing`."""
    finished = False
    try:
        async for item in response:
            yield item
        finished = True
    finally:
        if not finished:
            response.cancel()


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
