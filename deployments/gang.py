"""The ranks of one Generator replica, as one thing: every call goes to all of them, the answer comes from the first.

They are children of the leader in its own placement group, so whatever ends the leader ends them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cosmos3_core.request import Step
from deployments.handoff import EncodedMessage, LatentsMessage
from deployments.rank import Rank
from deployments.settings import GeneratorSettings, ModelSettings

CONTROL = {"control": 1}


class Gang:
    """Handles of the ranks.

    Attributes:
        ranks: actor handles, rank 0 first.
    """

    def __init__(self, ranks: list[Any]) -> None:
        self.ranks = ranks

    @classmethod
    def start(cls, settings: ModelSettings) -> Gang:
        """Start a rank per bundle behind the leader's; they load their weights side by side."""
        assert settings.generator is not None
        group = ray.util.get_current_placement_group()
        assert group is not None, "the leader runs in a placement group: `placement_group_bundles` of its deployment"
        # Ray's decorators, applied here so that `Rank` stays a plain class.
        decorate: Any = ray.remote
        actor = decorate(concurrency_groups=CONTROL)(Rank)
        return cls([_place(actor, settings, group, index) for index in range(settings.generator.world_size)])

    async def call(self, method: str, *args: Any, group: str | None = None) -> Any:
        """Call a method on every rank and return rank 0's answer.

        Raises:
            RayActorError: a rank is dead.
        """
        options = {"concurrency_group": group} if group else {}
        calls = [getattr(rank, method).options(**options).remote(*args) for rank in self.ranks]
        return (await asyncio.gather(*calls))[0]

    async def warm_up(self) -> None:
        """Wait for the weights and make one small step."""
        await self.call("warm_up")

    async def begin(self, task_id: str, message: EncodedMessage) -> int:
        """Make a task resident; returns the bytes fetched for it."""
        return int(await self.call("start", task_id, message))

    async def step(self, task_id: str) -> Step:
        """Make one step of a task."""
        step: Step = await self.call("step", task_id)
        return step

    async def finish(self, task_id: str) -> LatentsMessage:
        """Take a finished task's latents."""
        latents: LatentsMessage = await self.call("finish", task_id)
        return latents

    async def drop(self, task_id: str) -> None:
        """Forget a task."""
        await self.call("drop", task_id)

    async def ping(self) -> None:
        """Ask every rank for an answer on its control thread."""
        await self.call("ping", group="control")

    async def stats(self) -> dict[str, float]:
        """Rank 0's figures."""
        stats: dict[str, float] = await self.call("stats", group="control")
        return stats

    def kill(self) -> None:
        """End every rank at once."""
        for rank in self.ranks:
            ray.kill(rank)


def _place(actor: Any, settings: ModelSettings, group: PlacementGroup, index: int) -> Any:
    generator = settings.generator
    assert generator is not None
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=index + 1, placement_group_capture_child_tasks=True
    )
    options = _resources(generator) | {"scheduling_strategy": strategy}
    return actor.options(max_restarts=0, **options).remote(settings)


def _resources(generator: GeneratorSettings) -> dict[str, Any]:
    rest = dict(generator.rank_resources)
    return {"num_cpus": rest.pop("CPU", 0), "num_gpus": rest.pop("GPU", 0), "resources": rest}
