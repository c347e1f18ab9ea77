"""The leader of a gang, over ranks that only count: what it asks of them, and what its listeners hear."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from ray.exceptions import ActorDiedError, ActorUnavailableError

from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.request import Step
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import flow
from deployments.generator import leader as module
from deployments.generator import snapshots
from deployments.generator.gang import Gang
from deployments.generator.leader import Generator
from deployments.generator.rank import Begun, RankFacts
from deployments.generator.scheduler import TaskTooLarge
from deployments.settings import GeneratorSettings, ModelSettings
from deployments.wire import callers
from deployments.wire.calls import DenoiseCall, Preview
from deployments.wire.messages import (
    ArrayReference,
    ClipDescription,
    EncodedMessage,
    HandoffLost,
    KeyValuesReference,
    LatentsMessage,
)
from deployments.wire.service_class import ServiceClass
from tests.actors import ActorHandle
from tests.manifests import denoise_facts, encode_facts

CLIP = ClipDescription("text2video", 64, 64, 5, 24.0, None, 48_000, 0, 0)
LATENTS = LatentsMessage(None, {"vision": "0"}, 0, 0, 0, 0, denoise_facts())


@dataclass
class Ranks:
    """A gang that is not there.

    Attributes:
        log: what was asked, in order.
        step_s: how long a step takes.
        starts_at: steps that a snapshot holds, by task.
        failure: raised by the call of that name.
    """

    log: list[str] = field(default_factory=list)
    step_s: float = 0.0
    starts_at: dict[str, int] = field(default_factory=dict)
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
        step = self.done.setdefault(task_id, self.starts_at.get(task_id.split("/")[0], 0) if snapshot else 0)
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

    async def park(self, task_id: str) -> None:
        self._asked("park", task_id)

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


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Ranks:
    ranks = Ranks()
    monkeypatch.setattr(Gang, "start", lambda _: ranks)
    monkeypatch.setattr(module, "WATCH_PERIOD_S", 0.02)

    def end(status: int) -> None:
        ranks.log.append("end")
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    return ranks


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
    shown = fields.pop("preview", None)
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
        flops=1e9,
        preview=shown,
    )
    return DenoiseCall(name, message, **fields)


async def heard(leader: Generator, request: DenoiseCall) -> list[Any]:
    async with aclosing(cast(Any, leader.denoise(request))) as updates:
        return [update async for update in updates]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_request_is_begun_stepped_and_finished(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            *steps, latents = await heard(leader, call("a"))
            assert [step.index for step in steps] == [1, 2, 3]
            assert steps[0].seconds_left > steps[1].seconds_left > steps[2].seconds_left == 0
            assert latents.fetched_bytes == 100
            assert ranks.log == ["begin a", "step a", "step a", "step a", "finish a"]
            assert not leader.scheduler.tasks and not leader._requests
            assert leader.record_routing_stats()["flops_per_second"] > 0

    run(test)


def test_a_snapshot_is_taken_up(nano: Path, ranks: Ranks) -> None:
    ranks.starts_at = {"a": 2, "b": 3}

    async def test() -> None:
        async with led(nano) as leader:
            assert [u.index for u in (await heard(leader, call("a", snapshot="file:///x", resume=True)))[:-1]] == [3]
            # All steps were made, and the gang died before it told.
            (latents,) = await heard(leader, call("b", snapshot="file:///x", resume=True))
            assert isinstance(latents, LatentsMessage)
            assert leader._counts["resumed"] == 2

    run(test)


def test_closing_the_stream_stops_the_steps(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            async with aclosing(cast(Any, leader.denoise(call("a", steps=100)))) as updates:
                await anext(updates)
            made = ranks.log.count("step a")
            while leader.scheduler.tasks:
                await asyncio.sleep(0.01)
            assert ranks.log.count("step a") <= made + 1
            assert ranks.log[-1] == "drop a"
            assert len(await heard(leader, call("b"))) == 4

    run(test)


def test_short_work_goes_first(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.01

    async def test() -> None:
        async with led(nano) as leader:
            video = asyncio.create_task(heard(leader, call("video", steps=40, side=32)))
            while ranks.log.count("step video") < 5:
                await asyncio.sleep(0.005)
            await heard(leader, call("image", steps=4))
            await video
            begun, ended = ranks.log.index("begin image"), ranks.log.index("finish image")
            assert "step video" not in ranks.log[begun:ended]

    run(test)


def test_an_urgent_request_takes_the_place_of_another(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.01

    async def test() -> None:
        async with led(nano, resident_bytes=1_200_000) as leader:
            video = asyncio.create_task(heard(leader, call("video", steps=20, text=100)))
            while "step video" not in ranks.log:
                await asyncio.sleep(0.005)
            await heard(leader, call("image", steps=2, text=100, service_class=ServiceClass.INTERACTIVE))
            steps = await video
            assert ranks.log.index("park video") < ranks.log.index("begin image")
            assert ranks.log.count("begin video") == 2 and len(steps) == 21

    run(test)


def test_what_no_rank_can_hold_is_refused(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano, resident_bytes=1000) as leader:
            with pytest.raises(TaskTooLarge, match="resident_bytes"):
                await heard(leader, call("a"))
            assert not leader._requests and ranks.log == []

    run(test)


def test_equal_requests_share_a_pass_where_that_is_on(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano, batch_tasks=4) as leader:
            await asyncio.gather(*(heard(leader, call(name, steps=4)) for name in "abcd"))
            assert any(line.count("+") == 3 for line in ranks.log)

    run(test)


def test_a_lost_hand_off_fails_its_request_alone(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            ranks.failure["begin"] = HandoffLost("gone")
            with pytest.raises(HandoffLost):
                await heard(leader, call("a"))
            assert len(await heard(leader, call("b"))) == 4
            assert not ranks.killed

    run(test)


@pytest.mark.parametrize("name", ["step", "ping"])
def test_a_dead_rank_ends_the_gang(name: str, nano: Path, ranks: Ranks) -> None:
    ranks.failure[name] = ActorDiedError()

    async def test() -> None:
        async with led(nano) as leader:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            listening = asyncio.create_task(heard(leader, call("a", steps=1000)))
            while not ranks.killed:
                await asyncio.sleep(0.01)
            listening.cancel()
            assert "end" in ranks.log

    with contextlib.suppress(Ended):
        run(test)
    assert ranks.killed


def assert_ends_at_its_deadline(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano, step_deadline_s=0.1) as leader:
            listening = asyncio.create_task(heard(leader, call("a")))
            while not ranks.killed:
                await asyncio.sleep(0.01)
            listening.cancel()

    with contextlib.suppress(Ended):
        run(test)
    assert ranks.killed


def test_a_step_that_takes_too_long_ends_the_gang(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 60

    assert_ends_at_its_deadline(nano, ranks)


def test_snapshots_and_previews_by_the_clock(nano: Path, ranks: Ranks, tmp_path: Path) -> None:
    ranks.step_s = 0.02
    colours = PreviewMap(torch.zeros(48, 3).numpy(), torch.zeros(3).numpy())

    async def test() -> None:
        async with led(nano, snapshot_interval_s=0.1) as leader:
            uri = f"file://{tmp_path / 'a'}"
            updates = await heard(leader, call("a", steps=30, snapshot=uri, preview=colours))
            assert 2 <= ranks.log.count("save a") <= 7
            assert [update.jpeg for update in updates if isinstance(update, Preview)] == [b"jpeg"]
            assert ranks.log[-1] == "finish a"

    run(test)


def test_everything_is_saved_once_when_serve_falls_silent(
    nano: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "SILENCE_S", 0.1)
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            uri = f"file://{tmp_path / 'a'}"
            listening = asyncio.create_task(heard(leader, call("a", steps=30, snapshot=uri)))
            for _ in range(8):
                leader.record_routing_stats()
                await asyncio.sleep(0.02)
            assert "save a" not in ranks.log
            await listening
            assert ranks.log.count("save a") == 1

    run(test)


def test_a_snapshot_stays_when_the_stream_is_closed_while_it_is_written(
    nano: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks.step_s = 0.02
    written, closed = asyncio.Event(), asyncio.Event()
    save = ranks.save

    async def save_slowly(task_id: str, uri: str) -> int:
        step = await save(task_id, uri)
        written.set()
        await closed.wait()
        return step

    monkeypatch.setattr(ranks, "save", save_slowly)

    async def test() -> None:
        async with led(nano, snapshot_interval_s=0.1) as leader:
            path = tmp_path / "a"
            video = call("a", steps=99, snapshot=f"file://{path}")
            # As when the process dies that drives the job.
            listening = asyncio.create_task(heard(leader, video))
            await written.wait()
            (request,) = leader._requests.values()
            listening.cancel()
            while leader.scheduler.tasks:
                await asyncio.sleep(0.01)
            closed.set()
            assert request.background is not None
            await request.background
            assert ranks.log[-1] == "drop a" and path.read_bytes() == b"state"

    run(test)


def test_a_job_that_comes_again_takes_the_place_of_its_earlier_self(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            earlier = asyncio.create_task(heard(leader, call("a", steps=50)))
            while ranks.log.count("step a") < 3:
                await asyncio.sleep(0.005)
            *steps, _ = await heard(leader, call("a", steps=5))
            assert [step.index for step in steps] == [1, 2, 3, 4, 5]
            assert ranks.log.count("drop a") == 1 and not leader._requests
            # Its own stream ends, also where nobody is left to close it.
            assert [step.index for step in await earlier] == list(range(1, ranks.log.index("drop a")))

    run(test)


def test_a_call_of_an_earlier_try_that_comes_late_ends_without_harm(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            rightful = asyncio.create_task(heard(leader, call("a", steps=20, attempt=2)))
            while ranks.log.count("step a") < 3:
                await asyncio.sleep(0.005)
            assert await heard(leader, call("a", steps=20, attempt=1)) == []
            assert len(await rightful) == 21 and not leader._requests

    run(test)


def test_a_request_whose_driver_has_died_is_saved_and_let_go(
    nano: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "ANSWER_TIMEOUT_S", 0.1)
    ranks.step_s = 0.01

    async def test() -> None:
        async with led(nano) as leader:
            alive = [
                ActorHandle(),
                ActorHandle(silent=True),
                ActorHandle(ActorUnavailableError("a while", b"x" * 16)),
                None,
            ]
            others = [
                asyncio.create_task(heard(leader, call(f"alive{number}", steps=20, driver=driver)))
                for number, driver in enumerate(alive)
            ]
            uri = f"file://{tmp_path / 'orphan'}"
            told = await heard(leader, call("orphan", steps=1000, driver=ActorHandle(ActorDiedError()), snapshot=uri))
            assert not any(isinstance(update, LatentsMessage) for update in told)
            assert ranks.log.index("save orphan") < ranks.log.index("drop orphan")
            assert [len(updates) for updates in await asyncio.gather(*others)] == [21] * 4
            assert not leader._requests and leader._counts["cancelled"] == 1

    run(test)


def test_a_request_that_fails_in_a_step_fails_alone(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            ranks.failure["step"] = RuntimeError("out of memory")
            with pytest.raises(RuntimeError, match="out of memory"):
                await heard(leader, call("a"))
            assert len(await heard(leader, call("b"))) == 4 and not ranks.killed

    run(test)


def test_ranks_that_fail_together_end_and_say_why(nano: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.05)
    ranks.ranks = (0, 1)
    ranks.failure["step"] = RuntimeError("out of memory")

    async def test() -> None:
        async with led(nano) as leader:
            with pytest.raises(RuntimeError, match="out of memory"):
                await heard(leader, call("a"))
            while not ranks.killed:
                await asyncio.sleep(0.01)

    with contextlib.suppress(Ended):
        run(test)
    assert ranks.killed


def test_a_call_that_hangs_ends_the_gang(nano: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> Begun:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(ranks, "begin", hang)

    assert_ends_at_its_deadline(nano, ranks)


@pytest.mark.parametrize(
    ("parallel", "spread", "image", "video"),
    [
        ({"ulysses": 4}, "auto", False, True),
        ({"ulysses": 4}, "always", True, True),
        ({"tp": 2, "ulysses": 2}, "auto", False, True),
        ({"tp": 4}, "auto", True, True),
        ({}, "auto", True, True),
    ],
)
def test_small_shapes_are_not_shared_to_their_harm(
    parallel: dict[str, int], spread: str, image: bool, video: bool, nano: Path, ranks: Ranks
) -> None:
    async def test() -> None:
        async with led(nano, parallel=parallel, spread=spread) as leader:
            await heard(leader, call("image", steps=1))
            await heard(leader, call("video", steps=1, side=256))
            # Without another way there is nothing to decide, and what the ranks are told is what they do anyway.
            assert ranks.spread == {"image": image, "video": video}

    run(test)
