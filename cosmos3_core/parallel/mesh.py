"""The ranks around this process: one process group per axis, built once, in one order.

What an axis means is in `tensor`, `guidance` and `ulysses`; this module only groups the ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup, Store  # type: ignore[attr-defined]  # public, but not in its __all__
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from cosmos3_core.parallel.degrees import Coordinates, Degrees

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class Mesh:
    """This rank's place.

    Attributes:
        degrees: the gang's degrees.
        rank: rank of this process.
        groups: the device mesh; None for a rank on its own, which needs no process group.
    """

    degrees: Degrees = field(default_factory=Degrees)
    rank: int = 0
    groups: DeviceMesh | None = None

    @property
    def coordinates(self) -> Coordinates:
        """Where this rank sits along each axis."""
        return self.degrees.coordinates(self.rank)

    def group(self, axis: str) -> ProcessGroup:
        """The ranks that differ from this one along one axis only.

        Raises:
            RuntimeError: the rank is on its own.
        """
        if self.groups is None:
            raise RuntimeError(f"a rank on its own has no {axis} group")
        return self.groups.get_group(axis)


@contextmanager
def joined(
    degrees: Degrees,
    rank: int,
    device: torch.device,
    store: Store,
    timeout: timedelta = timedelta(minutes=10),
) -> Iterator[Mesh]:
    """Join the gang's process group for the length of a block.

    Args:
        degrees: how the ranks are split.
        rank: rank of this process, 0 to `world_size` - 1.
        device: where its tensors are; gloo on CPUs, NCCL on GPUs.
        store: store at which the ranks meet.
        timeout: how long a collective may wait for another rank.
    """
    mesh = join(degrees, rank, device, store, timeout)
    try:
        yield mesh
    finally:
        dist.destroy_process_group()


def join(degrees: Degrees, rank: int, device: torch.device, store: Store, timeout: timedelta) -> Mesh:
    """Join the gang's process group for the life of this process. For the arguments see `joined`."""
    dist.init_process_group(
        BACKENDS[device.type], store=store, rank=rank, world_size=degrees.world_size, timeout=timeout
    )
    # The last axis varies fastest over ranks, as in `Degrees.coordinates`.
    shape, names = (degrees.cfg, degrees.ulysses, degrees.tp), ("cfg", "ulysses", "tp")
    return Mesh(degrees, rank, init_device_mesh(device.type, shape, mesh_dim_names=names))
