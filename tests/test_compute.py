"""The thread of a stage's torch work."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from deployments.compute import ComputeThread
from deployments.settings.decoder import DecoderSettings
from tests.graph.processes import until

MIB = 2**20
BLOCK = 1000
COUNT = 300_000


def held() -> int:
    """Bytes that this process holds."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def test_what_a_call_has_freed_is_given_back() -> None:
    """One block above all others keeps the C library from doing so itself."""
    thread = ComputeThread(DecoderSettings(checkpoint="tiny:nano", device="cpu", dtype="float32", threads=1))
    peaks: list[int] = []

    def work() -> bytearray:
        blocks = [bytearray(BLOCK) for _ in range(COUNT)]
        peaks.append(held())
        return blocks[-1]

    before = held()
    last = asyncio.run(thread.run(work))
    assert len(last) == BLOCK and peaks[0] - before > 250 * MIB
    assert until(lambda: held() - before < 60 * MIB, 10)
