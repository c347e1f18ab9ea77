"""A rank of a Generator's gang: the process that holds generation weights and makes denoising steps.

A rank decides nothing: the leader says which tasks take a step. Other threads answer pings and write snapshots while a
step runs. What computes is imported when a rank loads, so that the leader, which creates ranks, needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import ray

from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.request import Step
from deployments.settings.model import ModelSettings
from deployments.wire.messages import EncodedMessage, LatentsMessage

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store  # type: ignore[attr-defined]  # public, but not in its __all__

    from cosmos3_core.parallel.mesh import Mesh
    from cosmos3_core.parallel.rendezvous import Address
    from deployments.generator.resident_tasks import ResidentTasks


@dataclass(frozen=True)
class RankFacts:
    """What a rank reports of itself when it has loaded.

    Attributes:
        pid, node: its process id and the id of its node.
        device: the name of its GPU, or `cpu`.
        weight_bytes: the size of its weights, those of its adapters included.
    """

    pid: int
    node: str
    device: str
    weight_bytes: int


@dataclass(frozen=True)
class Begun:
    """What it took to make a task resident.

    Attributes:
        fetched_bytes: bytes fetched for it.
        step: steps made before, here or elsewhere.
    """

    fetched_bytes: int
    step: int


class Rank:
    """The actor: its place among the ranks, its threads, and the tasks that it holds once it has loaded."""

    tasks: ResidentTasks

    def __init__(self, settings: ModelSettings, index: int) -> None:
        assert settings.generator is not None
        self.index = index
        self.model = settings
        self.settings = settings.generator
        self._store: Store | None = None

    def open_store(self) -> Address:
        """Open the store through which the ranks find each other; only rank 0 is asked to."""
        from cosmos3_core.parallel.rendezvous import open_store

        self._store, address = open_store(_own_address(), self.settings.world_size)
        return address

    def load(self, store: Address | None) -> RankFacts:
        """Connect to the other ranks, if there are any, load this rank's weights, and make one small step.

        Raises:
            CheckpointError, ParallelError: what the recipe asks for is impossible.
        """
        import torch

        from cosmos3_core.stages.denoiser import Denoiser
        from deployments.generator.resident_tasks import ResidentTasks

        execution = self.settings.execution()
        mesh = None if store is None else self._join(store, execution.torch_device)
        denoiser = Denoiser.from_checkpoint(self.model.find_checkpoint(), execution, mesh, self.settings.adapters)
        denoiser.warm_up()
        self.tasks = ResidentTasks(denoiser, self.settings.key_value_bytes)
        device = execution.torch_device
        return RankFacts(
            pid=os.getpid(),
            node=ray.get_runtime_context().get_node_id(),
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            weight_bytes=sum(parameter.nbytes for parameter in denoiser.tower.parameters())
            + denoiser.report.adapter_bytes,
        )

    def _join(self, address: Address, device: torch.device) -> Mesh:
        from cosmos3_core.parallel.mesh import join
        from cosmos3_core.parallel.rendezvous import find_store, use_interface_of

        degrees = self.settings.parallel.degrees
        store = self._store or find_store(address, degrees.world_size)
        use_interface_of(_own_address())
        # Longer than the leader waits for a step: the leader ends a gang that is stuck.
        timeout = timedelta(seconds=2 * self.settings.step_deadline_s + 60)
        return join(degrees, self.index, device, store, timeout)

    def begin(self, task_id: str, message: EncodedMessage, snapshot: str | None, spread: bool = True) -> Begun:
        """Fetch what a task needs and make it resident, from its evicted state, its snapshot or its first step.

        Args:
            task_id: the leader's id of the task.
            message: what the Encoder sent.
            snapshot: the URI where its state may be saved; None if it was never saved.
            spread: whether the ranks share it.

        Raises:
            HandoffLost: the object store no longer has what the Encoder sent.
        """
        self._use_threads()
        return self.tasks.begin(task_id, message, snapshot, spread)

    def _use_threads(self) -> None:
        # Ray runs methods in another thread than `load`'s, and torch's setting holds for one thread.
        import torch

        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)

    def step(self, task_ids: list[str]) -> list[Step]:
        """Make the next step of some tasks, in one forward pass."""
        return self.tasks.step(task_ids)

    def evict(self, task_id: str) -> None:
        """Take a task off the device and keep its state in host memory."""
        self.tasks.evict(task_id)

    def save(self, task_id: str, uri: str) -> int:
        """Write a snapshot of a task as it is now, while a step may be running; returns the steps in it."""
        return self.tasks.save(task_id, uri)

    def preview(self, task_id: str, colours: PreviewMap) -> bytes | None:
        """A small JPEG of what a task is about to become; None if the sampler has no estimate of that yet."""
        return self.tasks.preview(task_id, colours)

    def finish(self, task_id: str) -> LatentsMessage:
        """Publish a finished task's latents and drop the task."""
        return self.tasks.finish(task_id)

    def drop(self, task_id: str) -> None:
        """Drop a task and its state."""
        self.tasks.drop(task_id)

    def ping(self) -> None:
        """Answer. It runs on the control thread, so the answer comes even while a step runs."""

    def stats(self) -> dict[str, float]:
        """Counters and gauges. It runs on the control thread."""
        return self.tasks.stats()


def _own_address() -> str:
    own: Callable[[], str] = ray.util.get_node_ip_address
    return own()
