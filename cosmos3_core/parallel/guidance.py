"""Guidance parallelism: the ranks share the guidance branches of a step.

They exchange velocities, which are as large as the latents, once a step.
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from cosmos3_core.model.sequence import Latents
from cosmos3_core.parallel.mesh import Mesh


class BranchOwners:
    """Which ranks compute which guidance branch. Branches are counted as `Guidance.branches` has them."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def owner(self, branch: int) -> int:
        """Coordinate along `cfg` of the ranks that compute a branch."""
        return branch % self.mesh.degrees.cfg

    def owns(self, branch: int) -> bool:
        """Whether this rank computes a branch, and so needs its understanding keys and values."""
        return self.owner(branch) == self.mesh.coordinates.cfg

    def share(self, velocity: Latents | None, branch: int, like: Latents) -> Latents:
        """A branch's velocity on every rank.

        Args:
            velocity: what this rank computed, fp32; None where another rank computes the branch.
            branch: the branch's index.
            like: latents of the same shapes and device.
        """
        if self.mesh.degrees.cfg == 1:
            assert velocity is not None
            return velocity
        source = velocity or {name: torch.empty_like(x) for name, x in like.items()}
        shared = {name: x.contiguous() for name, x in source.items()}
        for x in shared.values():
            dist.broadcast(x, group=self.mesh.group("cfg"), group_src=self.owner(branch))
        return shared
