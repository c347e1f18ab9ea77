"""A chat's answer from the Reasoner to the ingress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ChatAnswer:
    """A whole answer or an error from vLLM.

    Attributes:
        status: the HTTP status code.
        body: the JSON object.
    """

    status: int
    body: dict[str, Any]
