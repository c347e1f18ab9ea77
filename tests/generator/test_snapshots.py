"""When the requests of a gang are saved, over ranks that only count."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deployments.generator import leader as leader_module
from deployments.wire.messages import LatentsMessage
from tests.generator.fake_gang import COLOURS, Ranks, call, led, run, updates_of


def test_snapshots_are_written_at_their_interval(nano: Path, ranks: Ranks, tmp_path: Path) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano, snapshot_interval_s=0.1) as leader:
            uri = f"file://{tmp_path / 'a'}"
            await updates_of(leader, call("a", steps=30, snapshot=uri, preview=COLOURS))
            assert 2 <= ranks.log.count("save a") <= 7
            assert ranks.log[-1] == "finish a"

    run(test)


def test_every_request_is_saved_once_when_serve_falls_silent(
    nano: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "SILENCE_S", 0.1)
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano) as leader:
            uri = f"file://{tmp_path / 'a'}"
            listening = asyncio.create_task(updates_of(leader, call("a", steps=30, snapshot=uri)))
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
            # As when the caller dies.
            listening = asyncio.create_task(updates_of(leader, video))
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


@pytest.mark.parametrize(("keep", "snapshot", "saved"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_the_finished_state_is_saved_where_further_parts_follow(
    nano: Path, ranks: Ranks, tmp_path: Path, keep: bool, snapshot: bool, saved: int
) -> None:
    async def test() -> None:
        async with led(nano) as leader:
            uri = f"file://{tmp_path / 'a'}" if snapshot else None
            *steps, latents = await updates_of(leader, call("a", snapshot=uri, keep=keep))
            assert len(steps) == 3 and isinstance(latents, LatentsMessage)
            # After the last step, and while the ranks still hold it.
            assert ranks.log == ["begin a", *["step a"] * 3, *["save a"] * saved, "finish a"]
            assert (tmp_path / "a").exists() == bool(saved)

    run(test)


def test_a_part_that_was_finished_before_is_not_denoised_again(nano: Path, ranks: Ranks, tmp_path: Path) -> None:
    ranks.begins_at = {"a": 3}

    async def test() -> None:
        async with led(nano) as leader:
            uri = f"file://{tmp_path / 'a'}"
            (latents,) = await updates_of(leader, call("a", snapshot=uri, resume=True, keep=True))
            assert isinstance(latents, LatentsMessage)
            assert "step a" not in ranks.log and ranks.log[-1] == "finish a"

    run(test)


def test_a_finished_state_that_cannot_be_saved_does_not_hold_up_its_latents(
    nano: Path, ranks: Ranks, tmp_path: Path
) -> None:
    ranks.failure["save"] = OSError("the disk is full")

    async def test() -> None:
        async with led(nano) as leader:
            *_, latents = await updates_of(leader, call("a", snapshot=f"file://{tmp_path / 'a'}", keep=True))
            assert isinstance(latents, LatentsMessage) and not ranks.killed

    run(test)
