"""A leader over ranks that only count: what it asks of them, and what its listeners read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.request import Step
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import flow
from deployments.generator.leader import Generator
from deployments.generator.rank import Begun, RankFacts
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import ModelSettings
from deployments.wire.calls import DenoiseCall
from deployments.wire.messages import (
    ArrayReference,
    ClipDescription,
    EncodedMessage,
    KeyValuesReference,
    LatentsMessage,
)
from tests.manifests import denoise_facts, encode_facts

CLIP = ClipDescription("text2video", 64, 64, 5, 24.0, None, 48_000, 0, 0)
COLOURS = PreviewMap(np.zeros((48, 3), np.float32), np.zeros(3, np.float32))
LATENTS = LatentsMessage(None, {"vision": "0"}, 0, 0, 0, 0, denoise_facts())


@dataclass
class Ranks:
    """A gang that only counts.

    Attributes:
        log: the calls of the leader, in order.
        step_s: how long a step takes.
        begins_at: the number of steps in each job's snapshot.
        failure: the error that the next call of a name raises.
    """

    log: list[str] = field(default_factory=list)
    step_s: float = 0.0
    begins_at: dict[str, int] = field(default_factory=dict)
    failure: dict[str, Exception] = field(default_factory=dict)
    ranks: tuple[int, ...] = (0,)
    facts: tuple[RankFacts, ...] = (RankFacts(1, "node", "cpu", 0),)
    killed: bool = False
    done: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    spread: dict[str, bool] = field(default_factory=dict)

    def _asked(self, name: str, *task_ids: str) -> None:
        self.log.append(f"{name} {'+'.join(task_id.split('/')[0] for task_id in task_ids)}")
        if name in self.failure:
            raise self.failure.pop(name)

    async def load(self) -> None:
        pass

    async def begin(self, task_id: str, message: EncodedMessage, snapshot: str | None, spread: bool) -> Begun:
        self._asked("begin", task_id)
        self.spread[task_id.split("/")[0]] = spread
        self.counts[task_id] = message.sampling.steps
        step = self.done.setdefault(task_id, self.begins_at.get(task_id.split("/")[0], 0) if snapshot else 0)
        return Begun(100, step)

    async def step(self, task_ids: list[str]) -> list[Step]:
        self._asked("step", *task_ids)
        await asyncio.sleep(self.step_s)
        for task_id in task_ids:
            self.done[task_id] += 1
        return [Step(self.done[t], self.counts[t], max(self.step_s, 0.01), 0.0) for t in task_ids]

    async def finish(self, task_id: str) -> LatentsMessage:
        self._asked("finish", task_id)
        return LATENTS

    async def evict(self, task_id: str) -> None:
        self._asked("evict", task_id)

    async def drop(self, task_id: str) -> None:
        self._asked("drop", task_id)

    async def save(self, task_id: str, uri: str) -> int:
        self._asked("save", task_id)
        Path(uri.removeprefix("file://")).write_bytes(b"state")
        return self.done[task_id]

    async def preview(self, task_id: str, colours: PreviewMap) -> bytes:
        self._asked("preview", task_id)
        return b"jpeg"

    async def ping(self) -> None:
        if "ping" in self.failure:
            raise self.failure["ping"]

    def kill(self) -> None:
        self.killed = True


class Ended(BaseException):
    """The process would have ended."""


@asynccontextmanager
async def led(nano: Path, **settings: Any) -> AsyncIterator[Generator]:
    generator = GeneratorSettings(device="cpu", dtype="float32", **settings)
    leader = Generator.__new__(Generator)
    await Generator.__init__(leader, ModelSettings(name="m", checkpoint=str(nano), generator=generator))
    try:
        yield leader
    finally:
        for loop in leader._loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError, Ended):
                await loop


def call(name: str, steps: int = 3, side: int = 4, text: int = 8, **fields: Any) -> DenoiseCall:
    shown, adapters = fields.pop("preview", None), fields.pop("adapters", ())
    prompt = KeyValuesReference(name, text, ArrayReference(None, "float32", itemsize=4, nbytes=0))
    message = EncodedMessage(
        conditional=prompt,
        unconditional=None,
        conditioning=None,
        conditioning_bytes=0,
        layout=SequenceLayout(frames=1, height=side, width=side, fps=24.0),
        sampling=Sampling(flow(steps=steps, shift=1.0), Guidance(scale=1.0), seed=0),
        clip=CLIP,
        facts=encode_facts(),
        adapters=adapters,
        flops=1e9,
        preview=shown,
    )
    return DenoiseCall(name, message, **fields)


async def updates_of(leader: Generator, request: DenoiseCall) -> list[Any]:
    async with aclosing(cast(Any, leader.denoise(request))) as updates:
        return [update async for update in updates]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))
