"""The ranks of one Generator replica as one object: a call goes to every rank, or to rank 0 for what all ranks know.

The ranks are children of the leader in its placement group, so they end when the leader ends, for whatever reason.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.request import Step
from deployments.generator.rank import Begun, Rank, RankFacts
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import ModelSettings
from deployments.wire.messages import EncodedMessage, HandoffLost, LatentsMessage

CONTROL, BACKGROUND = "control", "background"
"""A rank's threads in addition to the one that makes steps: one answers pings, one makes snapshots and previews."""


class Gang:
    """The ranks of one replica.

    Attributes:
        ranks: the ranks' actor handles, rank 0 first.
        facts: what each rank has reported of itself; empty until they have loaded.
    """

    def __init__(self, ranks: list[Any]) -> None:
        self.ranks = ranks
        self.facts: list[RankFacts] = []

    @classmethod
    def create(cls, settings: ModelSettings) -> Gang:
        """Create a rank in each bundle after the leader's, numbered by node; the leader's node comes first."""
        assert settings.generator is not None
        group = ray.util.get_current_placement_group()
        assert group is not None, "the leader runs in a placement group: `placement_group_bundles` of its deployment"
        # Ray's decorators, applied here so that `Rank` stays a plain class.
        decorate: Any = ray.remote
        actor = decorate(concurrency_groups={CONTROL: 1, BACKGROUND: 1})(Rank)
        bundles = _bundles_by_node(group, settings.generator.world_size)
        return cls([_place(actor, settings, group, rank, bundle) for rank, bundle in enumerate(bundles)])

    async def _call(self, method: str, *args: Any, group: str | None = None) -> list[Any]:
        """Call a method of every rank and return all answers.

        Raises:
            RayActorError: a rank is dead.
        """
        return await asyncio.gather(*(_ask(rank, method, *args, group=group) for rank in self.ranks))

    async def load(self) -> None:
        """Connect the ranks to each other, load their weights in parallel, and make one small step."""
        meeting = await _ask(self.ranks[0], "open_store") if len(self.ranks) > 1 else None
        self.facts = await self._call("load", meeting)

    async def begin(self, task_id: str, message: EncodedMessage, snapshot: str | None, spread: bool) -> Begun:
        """Make a task resident on every rank; `spread` says whether the ranks share it.

        Returns:
            The bytes that all ranks fetched together, and the steps made before.

        Raises:
            HandoffLost: what the task needs is gone, or changed while the ranks read it.
        """
        begun: list[Begun] = await self._call("begin", task_id, message, snapshot, spread)
        if len({one.step for one in begun}) > 1:
            raise HandoffLost("the ranks read different snapshots")
        return Begun(fetched_bytes=sum(one.fetched_bytes for one in begun), step=begun[0].step)

    async def step(self, task_ids: list[str]) -> list[Step]:
        """Make one step of some tasks in one forward pass."""
        steps: list[Step] = (await self._call("step", task_ids))[0]
        return steps

    async def finish(self, task_id: str) -> LatentsMessage:
        """Publish a finished task's latents and drop the task; all ranks have the latents, rank 0 publishes its own."""
        latents: LatentsMessage = await _ask(self.ranks[0], "finish", task_id)
        await asyncio.gather(*(_ask(rank, "drop", task_id) for rank in self.ranks[1:]))
        return latents

    async def evict(self, task_id: str) -> None:
        """Take a task off the devices; `begin` brings it back."""
        await self._call("evict", task_id)

    async def drop(self, task_id: str) -> None:
        """Drop a task and its state."""
        await self._call("drop", task_id)

    async def save(self, task_id: str, uri: str) -> int:
        """Write a task's snapshot while steps go on; returns the number of steps in it."""
        return int(await _ask(self.ranks[0], "save", task_id, uri, group=BACKGROUND))

    async def preview(self, task_id: str, colours: PreviewMap) -> bytes | None:
        """A small JPEG of what a task is about to become."""
        jpeg: bytes | None = await _ask(self.ranks[0], "preview", task_id, colours, group=BACKGROUND)
        return jpeg

    async def ping(self) -> None:
        """Wait for an answer of every rank's control thread."""
        await self._call("ping", group=CONTROL)

    async def stats(self) -> dict[str, float]:
        """Figures of rank 0, with the bytes of all ranks together."""
        answers: list[dict[str, float]] = await self._call("stats", group=CONTROL)
        sums = {name: sum(one[name] for one in answers) for name in ("bytes_read", "bytes_fetched")}
        return answers[0] | sums

    def kill(self) -> None:
        """Kill every rank at once, even one that is suspended and would not act on Ray's message."""
        here = ray.get_runtime_context().get_node_id()
        for facts in self.facts:
            if facts.node == here:
                with suppress(ProcessLookupError):
                    os.kill(facts.pid, signal.SIGKILL)
        for rank in self.ranks:
            ray.kill(rank)


async def _ask(rank: Any, method: str, *args: Any, group: str | None = None) -> Any:
    options = {"concurrency_group": group} if group else {}
    return await getattr(rank, method).options(**options).remote(*args)


def _bundles_by_node(group: PlacementGroup, ranks: int) -> list[int]:
    """Indices of the ranks' bundles, sorted by node; the first bundle is the leader's."""
    nodes: dict[int, str] = placement_group_table(group)["bundles_to_node_id"]
    here = ray.get_runtime_context().get_node_id()
    return sorted(range(1, ranks + 1), key=lambda bundle: (nodes[bundle] != here, nodes[bundle], bundle))


def _place(actor: Any, settings: ModelSettings, group: PlacementGroup, rank: int, bundle: int) -> Any:
    assert settings.generator is not None
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=bundle, placement_group_capture_child_tasks=True
    )
    options = _resources(settings.generator) | {"scheduling_strategy": strategy}
    return actor.options(max_restarts=0, **options).remote(settings, rank)


def _resources(generator: GeneratorSettings) -> dict[str, Any]:
    rest = dict(generator.rank_resources)
    return {"num_cpus": rest.pop("CPU", 0), "num_gpus": rest.pop("GPU", 0), "resources": rest}
