"""A chat's answer on its way from the Reasoner to the ingress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ChatAnswer:
    """A whole answer or an error, as vLLM made it.

    Attributes:
        status: HTTP status code.
        body: JSON object.
    """

    status: int
    body: dict[str, Any]
