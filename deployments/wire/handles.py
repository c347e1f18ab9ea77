"""Handles of other deployments, and calls through them.

Calls pass their arguments by reference. When the caller stops waiting for an answer, or stops reading a stream, the
call is cancelled, so that no deployment works for a caller that is gone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from ray import serve


def handle_of(deployment: str, application: str) -> Any:
    """A handle of a deployment. The deployment need not exist yet: calls wait for it.

    By reference, because gRPC refuses messages above 4 MB (spec ray_serve 4). Without Serve's check that the deployment
    exists, because the check would block the event loop and fail for an application that is still starting.
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
class StageHandles:
    """Handles of the stages of one generation, and of the model's card, which has prompts upsampled."""

    model: Any
    encoder: Any
    generator: Any
    decoder: Any

    @classmethod
    def of(cls, application: str, decoder: str) -> StageHandles:
        """The handles of the stages in a model's application and in the decoder's."""
        return cls(
            model=handle_of("Model", application),
            encoder=handle_of("Encoder", application),
            generator=handle_of("Generator", application).options(stream=True),
            decoder=handle_of("Decoder", decoder),
        )
