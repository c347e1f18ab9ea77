"""The deployment of the guardrails: what it says, counts and logs."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cosmos3_core.guardrails.verdict import GuardrailError, NotWanted, Verdict, Wanted, always
from deployments.guardrails import Guardrails
from deployments.settings.guardrails import GuardrailsSettings
from deployments.wire.replica import Replica
from tests.guardrails import guardrails_of


def frames(value: int, count: int = 4) -> np.ndarray:
    return np.full((count, 16, 16, 3), value, np.uint8)


def test_texts_and_frames_are_judged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = guardrails_of(tmp_path)

    async def asked() -> None:
        allowed, found = await made.check_texts("r", {"prompt": "a robot", "negative_prompt": "a grimflax"})
        assert (allowed.of, allowed.outcome.value) == ("prompt", "allowed")
        assert (found.of, found.outcome.value, found.guardrail) == ("negative_prompt", "blocked", "blocklist")
        assert (await made.check_frames("j", frames(10))).frames is None
        blurred = await made.check_frames("j", frames(200, 1))
        assert blurred.frames is not None and int(blurred.frames.max()) == 100
        assert [check.outcome.value for check in (await made.check_frames("j", frames(255, 2))).checks] == ["blocked"]
        assert await made.look_at_frames()
        counts = {"texts": 2, "texts_blocked": 1, "frames": 7, "frames_blocked": 2, "frames_blurred": 1}
        assert await made.stats() == counts

    with caplog.at_level(logging.WARNING, "ray.serve.cosmos3"):
        asyncio.run(asked())
    assert [line for line in caplog.messages if "[r] blocked by blocklist: negative_prompt" in line]
    assert "grimflax" not in caplog.text


class Piecewise:
    """A guardrail of texts that reads without end, as long as its verdict is wanted.

    Attributes:
        reading, ended: whether it has begun, and ended.
    """

    name, sha256 = "text_classifier", "0"

    def __init__(self) -> None:
        self.reading, self.ended = threading.Event(), threading.Event()

    def check(self, text: str, wanted: Wanted = always) -> Verdict:
        self.reading.set()
        deadline = time.monotonic() + 20
        while wanted() and time.monotonic() < deadline:
            time.sleep(0.005)
        self.ended.set()
        raise NotWanted


def test_a_caller_that_gives_up_ends_the_reading_of_its_text(tmp_path: Path) -> None:
    made, reader = guardrails_of(tmp_path), Piecewise()
    made.core.text = (reader,)

    async def asked() -> bool:
        asking = asyncio.ensure_future(made.check_texts("r", {"prompt": "a robot"}))
        assert await asyncio.to_thread(reader.reading.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return await asyncio.to_thread(reader.ended.wait, 10)

    assert asyncio.run(asked())


def test_it_tells_its_figures_as_every_stage_does() -> None:
    # The Ingress asks for the figures of `/metrics` by this method.
    assert issubclass(Guardrails, Replica)


def test_a_list_alone_looks_at_no_frames(tmp_path: Path) -> None:
    assert asyncio.run(guardrails_of(tmp_path, brightness=False).look_at_frames()) is False


def test_a_folder_that_is_not_there_keeps_it_from_starting(tmp_path: Path) -> None:
    with pytest.raises(GuardrailError, match=r"there is no .*nowhere"):
        Guardrails(GuardrailsSettings(blocklist=tmp_path / "nowhere", device="cpu"))
