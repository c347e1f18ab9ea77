"""One generation over stages that answer as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from ray.exceptions import ActorDiedError, ObjectLostError, RayActorError

from cosmos3_core.errors import RequestError
from cosmos3_core.request import Event, Finished, Started, Step
from deployments.jobs.flow import GenerationOutcome, OutputFile, generate, is_repeatable
from deployments.wire.calls import DecodeCall, DecodedFile, DenoiseCall, GenerationCall, Preview
from deployments.wire.handles import StageHandles
from deployments.wire.messages import HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass

CALL = GenerationCall(job_id="job", fields={}, media={})
OUTPUT = OutputFile(target="file:///out.mp4", format="mp4", quality=90)
STEP = Step(1, 1, 0.1, 0.0)


class Response:
    """A call's response: the answer if it is awaited, the items if it is iterated."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        return self.items[0]

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            yield item

    def cancel(self) -> None:
        """Ray's way to stop a call; these have nothing to stop."""


class Stage:
    """A handle whose only method, whatever its name, gives these items; keeps the calls."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=self._call)

    def _call(self, call: Any) -> Response:
        self.calls.append(call)
        return Response(*self.items)


async def stored() -> str:
    return "latents"


@pytest.fixture(autouse=True)
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: ("owned here", value))


def stages(*updates: Any) -> StageHandles:
    encoded = SimpleNamespace(nbytes=10, clip="clip")
    file = DecodedFile(uri="file:///out.mp4", nbytes=1, num_frames=1, action=None)
    return StageHandles(encoder=Stage(encoded), generator=Stage(*updates), decoder=Stage(file))


def latents() -> LatentsMessage:
    return LatentsMessage(
        reference=stored(),
        sha256={},
        nbytes=30,
        steps=1,
        fetched_bytes=20,
        peak_memory_bytes=0,
        facts=cast(Any, None),
    )


async def generated(given: StageHandles, events: list[Event | Preview]) -> GenerationOutcome:
    async def report(event: Event | Preview) -> None:
        events.append(event)

    return await generate(
        given,
        CALL,
        OUTPUT,
        report,
        service_class=ServiceClass.BATCH,
        snapshot="file:///snapshot",
        resume=True,
        attempt=2,
    )


def test_the_stages_run_in_turn_and_their_events_are_reported() -> None:
    given, events = stages(STEP, latents()), list[Event | Preview]()
    outcome = asyncio.run(generated(given, events))
    names = [event if isinstance(event, Step) else (type(event), cast(Any, event).stage) for event in events]
    assert names == [
        (Started, "encode"),
        (Finished, "encode"),
        (Started, "denoise"),
        STEP,
        (Finished, "denoise"),
        (Started, "decode"),
        (Finished, "decode"),
    ]
    assert set(outcome.timings.seconds) == {"encode", "denoise", "decode"}
    assert outcome.timings.handed_over == {"encode_denoise": 10, "fetched": 20, "denoise_decode": 30}
    assert outcome.file.uri == OUTPUT.target and outcome.parts[0].latents.reference == ("owned here", "latents")


def test_each_stage_is_asked_with_what_the_one_before_made() -> None:
    given = stages(latents())
    outcome = asyncio.run(generated(given, []))
    denoise: DenoiseCall = given.generator.calls[0]
    decode: DecodeCall = given.decoder.calls[0]
    assert given.encoder.calls == [CALL]
    assert (denoise.job_id, denoise.message, denoise.service_class) == ("job", outcome.encoded, ServiceClass.BATCH)
    assert (denoise.snapshot, denoise.resume, denoise.attempt) == ("file:///snapshot", True, 2)
    assert (decode.job_id, decode.latents, decode.clip) == ("job", outcome.parts[0].latents, outcome.encoded.clip)
    assert (decode.target, decode.format, decode.quality) == (OUTPUT.target, "mp4", 90)


def test_a_generator_that_ends_without_latents_has_stopped_the_generation() -> None:
    events: list[Event | Preview] = []
    with pytest.raises(HandoffLost) as caught:
        asyncio.run(generated(stages(STEP), events))
    assert is_repeatable(caught.value) and events[-1] == STEP


@pytest.mark.parametrize(
    ("error", "repeatable"),
    [
        (RayActorError(), True),
        (ActorDiedError(), True),
        (ObjectLostError("id", None, ""), True),
        (HandoffLost(), True),
        (RequestError("size", "is wrong"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_which_errors_mean_that_a_process_died(error: Exception, repeatable: bool) -> None:
    assert is_repeatable(error) is repeatable
