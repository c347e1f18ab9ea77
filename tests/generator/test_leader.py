"""The leader of a gang, over ranks that only count: what it asks of them, and what its listeners read."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from cosmos3_core.adapters.use import AdapterUse
from deployments.generator import leader as leader_module
from deployments.generator.rank import Begun
from deployments.generator.scheduler import TaskTooLarge
from deployments.wire import callers
from deployments.wire.messages import HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass
from tests.actors import ActorHandle
from tests.generator.fake_gang import Ended, Ranks, call, led, run, updates_of


def test_a_request_is_begun_stepped_and_finished(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            *steps, latents = await updates_of(leader, call("a"))
            assert [step.index for step in steps] == [1, 2, 3]
            assert steps[0].seconds_left > steps[1].seconds_left > steps[2].seconds_left == 0
            assert latents.fetched_bytes == 100
            assert ranks.log == ["begin a", "step a", "step a", "step a", "finish a"]
            assert not leader.scheduler.tasks and not leader._requests
            assert leader.record_routing_stats()["flops_per_second"] > 0

    run(test)


def test_a_request_goes_on_from_its_snapshot(nano: Path, ranks: Ranks) -> None:
    ranks.begins_at = {"a": 2, "b": 3}

    async def test() -> None:
        async with led(nano) as leader:
            *steps, _ = await updates_of(leader, call("a", snapshot="file:///x", resume=True))
            assert [step.index for step in steps] == [3]
            # The gang before made all steps, and died before it could say so.
            (latents,) = await updates_of(leader, call("b", snapshot="file:///x", resume=True))
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
            assert len(await updates_of(leader, call("b"))) == 4

    run(test)


def test_short_work_goes_first(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.01

    async def test() -> None:
        async with led(nano) as leader:
            video = asyncio.create_task(updates_of(leader, call("video", steps=40, side=32)))
            while ranks.log.count("step video") < 5:
                await asyncio.sleep(0.005)
            await updates_of(leader, call("image", steps=4))
            await video
            begun, ended = ranks.log.index("begin image"), ranks.log.index("finish image")
            assert "step video" not in ranks.log[begun:ended]

    run(test)


def test_an_urgent_request_evicts_another(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.01

    async def test() -> None:
        async with led(nano, resident_bytes=1_200_000) as leader:
            video = asyncio.create_task(updates_of(leader, call("video", steps=20, text=100)))
            while "step video" not in ranks.log:
                await asyncio.sleep(0.005)
            await updates_of(leader, call("image", steps=2, text=100, service_class=ServiceClass.INTERACTIVE))
            steps = await video
            assert ranks.log.index("evict video") < ranks.log.index("begin image")
            assert ranks.log.count("begin video") == 2 and len(steps) == 21

    run(test)


def test_a_request_that_no_rank_can_hold_is_refused(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano, resident_bytes=1000) as leader:
            with pytest.raises(TaskTooLarge, match="resident_bytes"):
                await updates_of(leader, call("a"))
            assert not leader._requests and ranks.log == []

    run(test)


def test_equal_requests_share_a_forward_pass_if_batching_is_on(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano, batch_tasks=4) as leader:
            await asyncio.gather(*(updates_of(leader, call(name, steps=4)) for name in "abcd"))
            assert any(line.count("+") == 3 for line in ranks.log)

    run(test)


def test_only_requests_of_equal_adapters_share_a_step(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02
    style, weaker = AdapterUse(name="style"), AdapterUse(name="style", weight=0.5)
    uses = {"a": (style,), "b": (), "c": (style,), "d": (weaker,)}

    async def test() -> None:
        async with led(nano, batch_tasks=4) as leader:
            calls = (call(name, steps=4, adapters=adapters) for name, adapters in uses.items())
            await asyncio.gather(*(updates_of(leader, one) for one in calls))
            assert {line.removeprefix("step ") for line in ranks.log if "+" in line} <= {"a+c", "c+a"}
            assert any("+" in line for line in ranks.log)

    run(test)


def test_a_lost_hand_off_fails_its_request_alone(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            ranks.failure["begin"] = HandoffLost("gone")
            with pytest.raises(HandoffLost):
                await updates_of(leader, call("a"))
            assert len(await updates_of(leader, call("b"))) == 4
            assert not ranks.killed

    run(test)


@pytest.mark.parametrize("name", ["step", "ping"])
def test_a_dead_rank_ends_the_gang(name: str, nano: Path, ranks: Ranks) -> None:
    ranks.failure[name] = ActorDiedError()

    async def test() -> None:
        async with led(nano) as leader:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            listening = asyncio.create_task(updates_of(leader, call("a", steps=1000)))
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
            listening = asyncio.create_task(updates_of(leader, call("a")))
            while not ranks.killed:
                await asyncio.sleep(0.01)
            listening.cancel()

    with contextlib.suppress(Ended):
        run(test)
    assert ranks.killed


def test_a_step_that_takes_too_long_ends_the_gang(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 60

    assert_ends_at_its_deadline(nano, ranks)


def test_a_job_that_arrives_again_replaces_its_earlier_call(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            earlier = asyncio.create_task(updates_of(leader, call("a", steps=50)))
            while ranks.log.count("step a") < 3:
                await asyncio.sleep(0.005)
            *steps, _ = await updates_of(leader, call("a", steps=5))
            assert [step.index for step in steps] == [1, 2, 3, 4, 5]
            assert ranks.log.count("drop a") == 1 and not leader._requests
            # The earlier stream ends, even if its caller no longer lives to close it.
            assert [step.index for step in await earlier] == list(range(1, ranks.log.index("drop a")))

    run(test)


def test_a_late_call_of_an_earlier_try_ends_at_once(nano: Path, ranks: Ranks) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            newer = asyncio.create_task(updates_of(leader, call("a", steps=20, attempt=2)))
            while ranks.log.count("step a") < 3:
                await asyncio.sleep(0.005)
            assert await updates_of(leader, call("a", steps=20, attempt=1)) == []
            assert len(await newer) == 21 and not leader._requests

    run(test)


def test_a_request_whose_caller_has_died_is_saved_and_cancelled(
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
                asyncio.create_task(updates_of(leader, call(f"alive{number}", steps=20, caller=caller)))
                for number, caller in enumerate(alive)
            ]
            uri = f"file://{tmp_path / 'orphan'}"
            dead = ActorHandle(ActorDiedError())
            updates = await updates_of(leader, call("orphan", steps=1000, caller=dead, snapshot=uri))
            assert not any(isinstance(update, LatentsMessage) for update in updates)
            assert ranks.log.index("save orphan") < ranks.log.index("drop orphan")
            assert [len(other) for other in await asyncio.gather(*others)] == [21] * 4
            assert not leader._requests and leader._counts["cancelled"] == 1

    run(test)


def test_a_request_whose_step_fails_fails_alone(nano: Path, ranks: Ranks) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            ranks.failure["step"] = RuntimeError("out of memory")
            with pytest.raises(RuntimeError, match="out of memory"):
                await updates_of(leader, call("a"))
            assert len(await updates_of(leader, call("b"))) == 4 and not ranks.killed

    run(test)


def test_several_ranks_whose_step_fails_send_the_error_and_end(
    nano: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "FLUSH_S", 0.05)
    ranks.ranks = (0, 1)
    ranks.failure["step"] = RuntimeError("out of memory")

    async def test() -> None:
        async with led(nano) as leader:
            with pytest.raises(RuntimeError, match="out of memory"):
                await updates_of(leader, call("a"))
            while not ranks.killed:
                await asyncio.sleep(0.01)

    with contextlib.suppress(Ended):
        run(test)
    assert ranks.killed


def test_a_call_that_hangs_ends_the_gang(nano: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any, **__: Any) -> Begun:
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
def test_ranks_do_not_share_shapes_that_would_get_slower(
    parallel: dict[str, int], spread: str, image: bool, video: bool, nano: Path, ranks: Ranks
) -> None:
    async def test() -> None:
        async with led(nano, parallel=parallel, spread=spread) as leader:
            await updates_of(leader, call("image", steps=1))
            await updates_of(leader, call("video", steps=1, side=256))
            # If there is only one way, nothing is decided, and `spread` is true.
            assert ranks.spread == {"image": image, "video": video}

    run(test)
