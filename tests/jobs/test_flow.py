"""One generation over stages that answer as a test says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from ray.exceptions import ActorDiedError, ObjectLostError, RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

from cosmos3_core.errors import RequestError
from cosmos3_core.guardrails.record import GuardrailCheck, Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked
from cosmos3_core.request import Event, Finished, Started, Step
from cosmos3_core.resolving.resolved import Part
from deployments.jobs.flow import GenerationOutcome, OutputFile, generate, is_repeatable
from deployments.wire import guardrails
from deployments.wire.calls import DecodeCall, DecodedFile, DenoiseCall, GenerationCall, JoinCall, Preview
from deployments.wire.guardrails import GuardrailsUnavailable, JobGuardrails
from deployments.wire.handles import StageHandles
from deployments.wire.messages import ArrayReference, HandoffLost, LatentsMessage
from deployments.wire.service_class import ServiceClass
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed
from tests.guardrails import Handle, guardrails_of

Reported = Event | Preview | UpsampledPrompt
CALL = GenerationCall(job_id="job", fields={}, media={})
OUTPUT = OutputFile(target="file:///out.mp4", format="mp4", quality=90)
STEP = Step(1, 1, 0.1, 0.0)
UPSAMPLE = UpsampleCall("text2image", "a robot", 64, 64, 1, 24.0, 7)
PLAIN = replace(CALL, fields={"prompt": "a robot", "seed": 7}, upsample=UPSAMPLE)
WRITTEN = UpsampledPrompt(prompt='{"context": "a robot"}', template_sha256="0", seconds=0.0)


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
    """A handle that answers a call of any method with what `answer` makes of it; keeps the calls.

    Attributes:
        calls: the arguments of each call.
        methods: the method of each call.
    """

    def __init__(self, answer: Callable[..., tuple[Any, ...]]) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []
        self.methods: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=partial(self._call, name))

    def _call(self, method: str, *arguments: Any) -> Response:
        self.methods.append(method)
        self.calls.append(arguments)
        return Response(*self.answer(*arguments))


@dataclass(frozen=True)
class Encoded:
    """As much of what the Encoder makes as the flow reads."""

    clip: str = "clip"
    parts: tuple[Part, ...] = (Part(),)
    part: int = 0
    nbytes: int = 10
    preview: str | None = "map"


async def stored(name: str = "latents") -> str:
    return name


@pytest.fixture(autouse=True)
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: ("owned here", value))


def stages(*updates: Any) -> StageHandles:
    encoded = Encoded()
    file = DecodedFile(uri="file:///out.mp4", nbytes=1, num_frames=1, action=None)
    return StageHandles(
        model=Stage(lambda *_: (WRITTEN,)),
        encoder=Stage(lambda *_: (encoded,)),
        generator=Stage(lambda *_: updates),
        decoder=Stage(lambda *_: (file,)),
    )


def stages_of_parts(count: int) -> StageHandles:
    """Stages of a request in parts, with two steps and two actions each; every part but the last has a tail."""
    parts = tuple(Part(index, 8 * index, 8 * index + 9, overlap=min(index, 1)) for index in range(count))

    def encode(call: GenerationCall, part: int, before: Any) -> tuple[Any, ...]:
        return (Encoded(clip=f"clip {part}", parts=parts, part=part),)

    def denoise(call: DenoiseCall) -> tuple[Any, ...]:
        digest = {"vision": f"part {call.message.part}"}
        steps = (Step(1, 2, 0.5, 0.5), Step(2, 2, 0.5, 0.0))
        return (*steps, replace(latents(), sha256=digest, peak_memory_bytes=7 - call.message.part))

    def decode(call: DecodeCall | JoinCall) -> tuple[Any, ...]:
        if isinstance(call, JoinCall):
            return (DecodedFile(call.target, nbytes=9, num_frames=17, action=None),)
        index = int(str(call.clip)[-1])
        tail = ArrayReference(stored(f"tail {index}"), "float32", 4, 4) if index + 1 < count else None
        rows = [[float(index), 0.0], [float(index), 1.0]]
        physical = {"data": [[10.0 * x for x in row] for row in rows], "units": "dataset", "method": "quantile"}
        action = {"data": rows, "shape": [2, 2], "domain_id": 6, "physical": physical}
        return (DecodedFile(call.target, nbytes=1, num_frames=9 - min(index, 1), action=action, tail=tail),)

    model = Stage(lambda *_: (WRITTEN,))
    return StageHandles(model=model, encoder=Stage(encode), generator=Stage(denoise), decoder=Stage(decode))


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


async def generated(
    given: StageHandles,
    events: list[Reported],
    call: GenerationCall = CALL,
    upsampled: UpsampledPrompt | None = None,
    **more: Any,
) -> GenerationOutcome:
    async def report(event: Reported) -> None:
        events.append(event)

    return await generate(
        given,
        call,
        OUTPUT,
        report,
        service_class=ServiceClass.BATCH,
        snapshot="file:///a.snapshot",
        resume=True,
        attempt=2,
        upsampled=upsampled,
        **more,
    )


def test_the_stages_run_in_turn_and_their_events_are_reported() -> None:
    given, events = stages(STEP, latents()), list[Reported]()
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
    denoise: DenoiseCall = given.generator.calls[0][0]
    decode: DecodeCall = given.decoder.calls[0][0]
    assert given.encoder.calls == [(CALL, 0, None)] and given.decoder.methods == ["decode"]
    assert (denoise.job_id, denoise.message, denoise.service_class) == ("job", outcome.encoded, ServiceClass.BATCH)
    assert (denoise.snapshot, denoise.resume, denoise.attempt) == ("file:///a.snapshot", True, 2)
    assert not denoise.keep
    assert (decode.job_id, decode.latents, decode.clip) == ("job", outcome.parts[0].latents, outcome.encoded.clip)
    assert (decode.target, decode.format, decode.quality) == (OUTPUT.target, "mp4", 90)
    assert decode.soundtrack is None


def test_a_prompt_is_upsampled_and_reported_before_it_is_encoded() -> None:
    given, events = stages(STEP, latents()), list[Reported]()
    outcome = asyncio.run(generated(given, events, PLAIN))
    begun, written, ended, encoding = events[:4]
    assert isinstance(written, UpsampledPrompt) and isinstance(ended, Finished)
    assert (begun, ended.stage, encoding) == (Started("upsample"), "upsample", Started("encode"))
    assert given.model.methods == ["upsample"] and given.model.calls == [("job", UPSAMPLE)]
    ((call, _, _),) = given.encoder.calls
    assert call.fields == {"prompt": WRITTEN.prompt, "seed": 7} and call.upsample is None
    assert list(outcome.timings.seconds) == ["upsample", "encode", "denoise", "decode"]
    assert outcome.timings.seconds["upsample"] == written.seconds > 0
    assert outcome.upsampled == written and written.prompt == WRITTEN.prompt


def test_a_prompt_that_an_earlier_try_got_is_used_again() -> None:
    kept = replace(WRITTEN, prompt='{"context": "before"}', seconds=3.5)
    given, events = stages(latents()), list[Reported]()
    outcome = asyncio.run(generated(given, events, PLAIN, kept))
    assert given.model.calls == [] and events[0] == Started("encode")
    assert given.encoder.calls[0][0].fields["prompt"] == kept.prompt
    assert outcome.upsampled == kept and outcome.timings.seconds["upsample"] == 3.5


def test_every_part_has_the_upsampled_prompt() -> None:
    given = stages_of_parts(3)
    asyncio.run(generated(given, [], PLAIN))
    assert len(given.model.calls) == 1
    assert [call.fields["prompt"] for call, _, _ in given.encoder.calls] == [WRITTEN.prompt] * 3


def test_without_a_prompt_nothing_is_encoded() -> None:
    def fail(*_: Any) -> tuple[Any, ...]:
        raise UpsamplingFailed("the Reasoner is busy", again=True)

    given = replace(stages(), model=Stage(fail))
    with pytest.raises(UpsamplingFailed, match="busy") as caught:
        asyncio.run(generated(given, [], PLAIN))
    assert given.encoder.calls == [] and not is_repeatable(caught.value)


def test_a_call_that_asks_for_none_has_none() -> None:
    given = stages(latents())
    outcome = asyncio.run(generated(given, []))
    assert given.model.calls == [] and outcome.upsampled is None


def test_the_decoder_is_told_where_a_given_soundtrack_is() -> None:
    given = stages(latents())
    call = replace(CALL, media={"image": "file:///image", "sound": "file:///sound"})
    asyncio.run(generated(given, [], call))
    assert given.decoder.calls[0][0].soundtrack == "file:///sound"


def test_each_part_starts_with_the_last_frames_of_the_one_before() -> None:
    given = stages_of_parts(3)
    asyncio.run(generated(given, []))
    tails = [before and before.reference for _, _, before in given.encoder.calls]
    assert [part for _, part, _ in given.encoder.calls] == [0, 1, 2]
    # Each was put again by this process, because its Decoder may be scaled down.
    assert tails == [None, ("owned here", "tail 0"), ("owned here", "tail 1")]


def test_each_part_has_a_snapshot_and_all_but_the_last_keep_it() -> None:
    given = stages_of_parts(3)
    outcome = asyncio.run(generated(given, []))
    calls: list[DenoiseCall] = [call for (call,) in given.generator.calls]
    assert [call.snapshot for call in calls] == ["file:///a.0.snapshot", "file:///a.1.snapshot", "file:///a.2.snapshot"]
    assert [call.keep for call in calls] == [True, True, False]
    assert [part.encoded for part in outcome.parts] == [call.message for call in calls]


def test_the_files_of_the_parts_are_joined() -> None:
    given = stages_of_parts(3)
    outcome = asyncio.run(generated(given, []))
    assert given.decoder.methods == ["decode", "decode", "decode", "join"]
    parts = ("file:///out.0.mp4", "file:///out.1.mp4", "file:///out.2.mp4")
    assert tuple(call.target for (call,) in given.decoder.calls[:3]) == parts
    assert given.decoder.calls[3] == (JoinCall("job", parts, OUTPUT.target),)
    assert (outcome.file.uri, outcome.file.num_frames, outcome.file.nbytes) == (OUTPUT.target, 17, 9)


def test_the_actions_of_the_parts_are_joined() -> None:
    action = asyncio.run(generated(stages_of_parts(2), [])).file.action
    rows = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    physical = {"data": [[10 * x for x in row] for row in rows], "units": "dataset", "method": "quantile"}
    assert action == {"data": rows, "shape": [4, 2], "domain_id": 6, "physical": physical}


def test_steps_are_counted_over_all_parts() -> None:
    events: list[Reported] = []
    outcome = asyncio.run(generated(stages_of_parts(3), events))
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.index, step.count) for step in steps] == [(index, 6) for index in range(1, 7)]
    # Half a second a step: what a part has left, and the steps of the parts behind it.
    assert [step.seconds_left for step in steps] == [2.5, 2.0, 1.5, 1.0, 0.5, 0.0]
    ended = [event.stage for event in events if isinstance(event, Finished)]
    assert ended == ["encode", "denoise", "decode"] * 3
    assert outcome.steps == 3 and outcome.peak_memory_bytes == 7
    assert outcome.timings.handed_over == {"encode_denoise": 30, "fetched": 60, "denoise_decode": 90}


def test_the_hash_of_several_parts_depends_on_each_of_them_and_their_order() -> None:
    joined = asyncio.run(generated(stages_of_parts(2), [])).latents_sha256["vision"]
    assert joined == hashlib.sha256(b"part 0part 1").hexdigest()


def test_a_generator_that_ends_without_latents_has_stopped_the_generation() -> None:
    events: list[Reported] = []
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


ALLOWED = GuardrailCheck(guardrail="blocklist", sha256="0", of="prompt", outcome=Outcome.ALLOWED)
CHECKED = JobGuardrails("checks", (ALLOWED,))


@pytest.fixture
def list_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handle:
    """The guardrails of an application: a list of words."""
    handle = Handle(guardrails_of(tmp_path))
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: handle)
    return handle


def test_without_guardrails_nobody_is_asked(list_of_words: Handle) -> None:
    given = stages(latents())
    outcome = asyncio.run(generated(given, [], PLAIN))
    assert list_of_words.methods == [] and outcome.all_checks == ()
    assert given.decoder.calls[0][0].guardrails is None


def test_the_prompt_that_a_reasoner_wrote_is_checked(list_of_words: Handle) -> None:
    given = stages(latents())
    outcome = asyncio.run(generated(given, [], PLAIN, guardrails=CHECKED))
    assert list_of_words.methods == ["look_at_frames", "check_texts", "look_at_frames"]
    assert [(check.of, check.outcome.value) for check in outcome.all_checks] == [
        ("prompt", "allowed"),
        ("upsampled_prompt", "allowed"),
    ]


def test_a_written_prompt_that_is_blocked_is_neither_kept_nor_encoded(list_of_words: Handle) -> None:
    written = replace(WRITTEN, prompt='{"context": "a grimflax"}')
    given, events = replace(stages(), model=Stage(lambda *_: (written,))), list[Reported]()
    with pytest.raises(ContentBlocked, match="upsampled_prompt") as caught:
        asyncio.run(generated(given, events, PLAIN, guardrails=CHECKED))
    assert events == [Started("upsample")] and given.encoder.calls == [] and not is_repeatable(caught.value)


def test_a_prompt_of_an_earlier_try_is_checked_again(list_of_words: Handle) -> None:
    kept = replace(WRITTEN, prompt='{"context": "a grimflax"}')
    with pytest.raises(ContentBlocked):
        asyncio.run(generated(stages(), [], PLAIN, kept, guardrails=CHECKED))


def test_the_decoder_is_told_who_checks_the_frames(list_of_words: Handle) -> None:
    given = stages_of_parts(2)
    asyncio.run(generated(given, [], guardrails=CHECKED))
    assert [call.guardrails for (call,) in given.decoder.calls[:2]] == ["checks", "checks"]


def test_guardrails_of_texts_alone_are_not_asked_by_the_decoder(list_of_words: Handle) -> None:
    list_of_words.behind.core.frames = ()
    given = stages(latents())
    asyncio.run(generated(given, [], guardrails=CHECKED))
    assert given.decoder.calls[0][0].guardrails is None


@pytest.mark.parametrize("away_from", [0, 1])
def test_guardrails_that_are_away_are_waited_for_outside_of_stages(
    list_of_words: Handle, monkeypatch: pytest.MonkeyPatch, away_from: int
) -> None:
    there = iter([True] * away_from)

    async def look_at_frames() -> bool:
        if next(there, None) is None:
            raise cast(Any, DeploymentUnavailableError)("Guardrails")
        return True

    monkeypatch.setattr(list_of_words.behind, "look_at_frames", look_at_frames)
    given, events = stages(*(latents() for _ in range(away_from))), list[Reported]()
    with pytest.raises(GuardrailsUnavailable):
        asyncio.run(generated(given, events, PLAIN, guardrails=CHECKED))
    assert given.decoder.calls == [] and Started("decode") not in events
    if away_from == 0:
        assert events == [] and given.model.calls == []


def test_what_is_said_of_the_parts_is_put_together(list_of_words: Handle) -> None:
    given = stages_of_parts(3)
    decode = given.decoder.answer
    said = iter(("allowed", "blurred", "allowed"))

    def checked(call: DecodeCall | JoinCall) -> tuple[Any, ...]:
        (file,) = decode(call)
        if isinstance(call, JoinCall):
            return (file,)
        frames = GuardrailCheck(guardrail="face_blur", sha256="1", of="frames", outcome=Outcome(next(said)))
        return (replace(file, checks=(frames,)),)

    given = replace(given, decoder=Stage(checked))
    outcome = asyncio.run(generated(given, [], guardrails=CHECKED))
    assert [check.outcome.value for check in outcome.all_checks] == ["allowed", "blurred"]


def test_what_is_checked_shows_no_previews(list_of_words: Handle) -> None:
    shown = []
    for checked in (None, CHECKED):
        given = stages(latents())
        asyncio.run(generated(given, [], guardrails=checked))
        shown.append(given.generator.calls[0][0].message.preview)
    assert shown == ["map", None]


def test_the_files_of_parts_are_named_before_they_are_written() -> None:
    given, wrote = stages_of_parts(3), list[str]()
    asyncio.run(generated(given, [], wrote=wrote.append))
    assert wrote == ["file:///out.0.mp4", "file:///out.1.mp4", "file:///out.2.mp4"]
    asyncio.run(generated(stages(latents()), [], wrote=wrote.append))
    assert len(wrote) == 3, "the driver knows the file of the whole"
