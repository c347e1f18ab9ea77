"""The error of local graphs."""

from __future__ import annotations

from cosmos3_core.errors import CosmosError


class GraphError(CosmosError):
    """A graph that does not start, or that has ended or failed."""
