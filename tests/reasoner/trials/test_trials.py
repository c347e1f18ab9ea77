"""Grammars are tried before vLLM gets them: honest ones pass, and those that would hold up other chats do not."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator

import pytest

from deployments.reasoner.trials.trials import Trials
from deployments.reasoner.trials.verdict import REFUSALS, Kind, Verdict
from deployments.settings.trials import TrialSettings
from tests.reasoner.trials.samples import HONEST, HOSTILE, fields, vocabulary


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
