"""When the requests of a gang are shown, over ranks that only count."""

from __future__ import annotations

from pathlib import Path

from deployments.wire.calls import Preview
from tests.generator.fake_gang import COLOURS, Ranks, call, led, run, updates_of


def test_previews_are_shown_at_their_interval(nano: Path, ranks: Ranks, tmp_path: Path) -> None:
    ranks.step_s = 0.02

    async def test() -> None:
        async with led(nano, snapshot_interval_s=0.1) as leader:
            uri = f"file://{tmp_path / 'a'}"
            updates = await updates_of(leader, call("a", steps=30, snapshot=uri, preview=COLOURS))
            assert [update.jpeg for update in updates if isinstance(update, Preview)] == [b"jpeg"]
            assert ranks.log[-1] == "finish a"

    run(test)
