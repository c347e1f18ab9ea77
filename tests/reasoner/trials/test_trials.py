"""Grammars are tried before vLLM gets them: honest ones pass, and those that would hold up other chats do not."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
from collections.abc import Iterator

import pytest
import xgrammar

from deployments.reasoner.trials.trials import Busy, Trials
from deployments.reasoner.trials.verdict import REFUSALS, Kind, NotTried, Verdict
from deployments.settings.trials import TrialSettings
from tests.reasoner.trials.samples import HONEST, HOSTILE, bounded_texts, fields, vocabulary

FEW = functools.partial(vocabulary, 2000)
OF_A_MODEL = 152_000
SLOW = HOSTILE["optional, in a row"]


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    trials = Trials(TrialSettings(seconds=2), vocabulary)
    yield trials
    trials.close()


def refusal(trials: Trials, kind: Kind, text: str) -> str | None:
    return asyncio.run(asyncio.wait_for(trials.refusal(kind, text), 240))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_hold_up_other_chats_is_refused_in_bounded_time(trials: Trials, name: str) -> None:
    assert refusal(trials, *HOSTILE[name]) in REFUSALS.values()
    started = time.perf_counter()
    assert refusal(trials, *HOSTILE[name]) in REFUSALS.values()
    # The verdict is kept.
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", HONEST)
def test_what_people_ask_for_passes(trials: Trials, name: str) -> None:
    assert refusal(trials, *HONEST[name]) is None


@pytest.mark.parametrize("number", [1, 50, 500])
def test_schemas_of_many_fields_pass(trials: Trials, number: int) -> None:
    assert refusal(trials, Kind.JSON, json.dumps(fields(number))) is None


def test_tools_pass(trials: Trials) -> None:
    tools = [
        {"properties": {"name": {"const": f"tool_{number}"}, "parameters": fields(8)}, "required": ["name"]}
        for number in range(128)
    ]
    assert refusal(trials, Kind.JSON, json.dumps({"type": "array", "items": {"anyOf": tools}})) is None


@pytest.mark.parametrize(("kind", "text"), [(Kind.REGEX, "("), (Kind.JSON, "{"), (Kind.GRAMMAR, "x"), (Kind.TAG, "1")])
def test_what_cannot_be_read_is_left_to_vllm(trials: Trials, kind: Kind, text: str) -> None:
    assert refusal(trials, kind, text) is None


def test_one_beside_a_hostile_one_is_tried_too() -> None:
    trials = Trials(TrialSettings(processes=2, seconds=2), vocabulary)

    async def test() -> tuple[str | None, str | None, float]:
        assert await trials.refusal(*HONEST["a number"]) is None
        slow = asyncio.create_task(trials.refusal(*HOSTILE["optional, in a row"]))
        await asyncio.sleep(0)
        started = time.perf_counter()
        honest = await trials.refusal(*HONEST["an address"])
        return await slow, honest, time.perf_counter() - started

    try:
        slow, honest, seconds = asyncio.run(asyncio.wait_for(test(), 240))
    finally:
        trials.close()
    assert slow == REFUSALS[Verdict.SLOW_TO_COMPILE] and honest is None
    assert seconds < 120


def test_a_process_that_dies_is_replaced(trials: Trials) -> None:
    assert refusal(trials, *HONEST["choices"]) is None
    (worker,) = trials._idle
    os.kill(worker._process.pid, 9)
    worker._process.wait(10)
    assert refusal(trials, Kind.REGEX, "[0-9]{4}") is None


def test_none_is_tried_without_processes() -> None:
    trials = Trials(TrialSettings(processes=0), vocabulary)
    assert refusal(trials, *HOSTILE["words, counted"]) is None


def test_a_model_of_ten_bounded_texts_passes() -> None:
    """The time that it takes grows with the vocabulary, and so does what it may take here."""
    size = xgrammar.TokenizerInfo.deserialize_json(FEW().decode()).vocab_size
    trials = Trials(TrialSettings(seconds=TrialSettings().seconds * size / OF_A_MODEL), FEW)
    try:
        assert refusal(trials, Kind.JSON, bounded_texts([100, 150, 200, 255, 300, 400, 500, 600, 800, 1000])) is None
        assert refusal(trials, Kind.JSON, bounded_texts([10_000_000, 2**31 - 1])) is None
        assert refusal(trials, Kind.REGEX, r"^[\s\S]{0,20000}$") is None
    finally:
        trials.close()


def test_nobody_waits_without_a_bound() -> None:
    trials = Trials(TrialSettings(seconds=60, waiting=2, wait_seconds=1), FEW)

    async def test() -> None:
        # One is tried and one waits.
        asked = [asyncio.create_task(trials.refusal(SLOW[0], SLOW[1] + " " * number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="try again"):
            await trials.refusal(*HONEST["a number"])
        started = time.perf_counter()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert time.perf_counter() - started < 10
        assert [type(error) for error in found] == [Busy, Busy]

    try:
        asyncio.run(asyncio.wait_for(test(), 30))
    finally:
        started = time.perf_counter()
        # A trial that runs is ended, not awaited.
        trials.close()
        assert time.perf_counter() - started < 1


def test_a_trial_that_nobody_waits_for_any_more_keeps_its_verdict() -> None:
    trials = Trials(TrialSettings(seconds=2, wait_seconds=0.1), FEW)

    async def test() -> str | None:
        for _ in range(200):
            try:
                return await trials.refusal(*HONEST["a number"])
            except Busy:
                await asyncio.sleep(0.2)
        raise TimeoutError

    try:
        assert asyncio.run(asyncio.wait_for(test(), 60)) is None
    finally:
        trials.close()


def test_a_process_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = Trials(TrialSettings(), FEW)
    for program in ("/nowhere/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(NotTried, match="try again"):
            refusal(trials, *HONEST["a number"])
    trials.close()
