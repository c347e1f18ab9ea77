"""What a replica of any stage tells of itself, under the id by which Serve's own metrics and logs know it."""

from __future__ import annotations

from typing import Any, Literal

from ray import serve

Subject = Literal["stats", "exposition"]


class Replica:
    """Base of the deployments that have figures for `/metrics`."""

    async def tell(self, subject: Subject) -> tuple[str, Any]:
        """The replica's id, and what its method of that name returns."""
        return serve.get_replica_context().replica_id.unique_id, await getattr(self, subject)()
