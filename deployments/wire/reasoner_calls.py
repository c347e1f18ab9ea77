"""What the Reasoner is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deployments.wire.visual_input import VisualInput


class Operation(StrEnum):
    """What vLLM is asked for; each has a route of its own."""

    CHAT = "chat"
    COMPLETION = "completion"
    RESPONSES = "responses"
    TOKENIZE = "tokenize"
    DETOKENIZE = "detokenize"


STREAMED = (Operation.CHAT, Operation.COMPLETION, Operation.RESPONSES)
"""Those that generate, and answer in pieces where they are asked to."""


@dataclass(frozen=True)
class AttachedMedium:
    """An image or a video that a request's body names.

    Attributes:
        name: what stands in the body where its URL was; no other request has the same.
        field: the client's field, for errors.
        visual: the medium.
    """

    name: str
    field: str
    visual: VisualInput


@dataclass(frozen=True)
class ReasonerCall:
    """A checked request.

    Attributes:
        request_id: for logs, and vLLM's name for the request.
        operation: what is asked for.
        body: the JSON object for vLLM.
        media: its images and videos.
    """

    request_id: str
    operation: Operation
    body: dict[str, Any]
    media: tuple[AttachedMedium, ...] = ()


@dataclass(frozen=True)
class ReasonerAnswer:
    """A whole answer or an error from vLLM.

    Attributes:
        status: the HTTP status code.
        body: the JSON object.
    """

    status: int
    body: dict[str, Any]
