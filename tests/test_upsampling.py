"""Prompts upsampled by a Reasoner that answers as a test says: cache, equal requests, cancels, failures."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from cosmos3_core.media.stills import encode_image
from cosmos3_core.modes import Mode
from cosmos3_core.prompt import parse_structured
from cosmos3_core.upsampling.template import OWN_TEMPLATES, Template, TemplateError
from deployments import upsampling
from deployments.model import Model
from deployments.settings.model import ModelSettings
from deployments.upsampling import Upsampler
from deployments.wire.media_store import MediaStore
from deployments.wire.reasoner_calls import ReasonerAnswer, ReasonerCall
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed
from tests.core.upsampling.samples import answer_to
from tests.core.upsampling.test_template import written
from tests.parity.cases import picture

IMAGE = UpsampleCall(mode="text2image", prompt="a robot", width=832, height=480, num_frames=1, fps=24.0, seed=7)
VIDEO = replace(IMAGE, mode="text2video", num_frames=189)
Answer = ReasonerAnswer | Exception
Answering = Callable[[dict[str, Any]], Answer]


class Response:
    """A call's response, which waits for `turn`."""

    def __init__(self, turn: asyncio.Event, answer: Callable[[], Answer]) -> None:
        self.cancelled = False
        self._turn = turn
        self._answer = answer

    def __await__(self) -> Any:
        return self._waited().__await__()

    async def _waited(self) -> ReasonerAnswer:
        await self._turn.wait()
        answer = self._answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        """Ray's way to stop a call."""
        self.cancelled = True


@dataclass
class Reasoner:
    """A handle of a Reasoner.

    Attributes:
        answering: makes the answer to a body.
        turn: set when it may answer.
        ids, bodies, responses: of its chats.
    """

    answering: Answering
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    ids: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def options(self, **_: Any) -> Reasoner:
        return self

    @property
    def answer(self) -> Any:
        return SimpleNamespace(remote=self._answer)

    def _answer(self, call: ReasonerCall) -> Response:
        body = call.body
        self.ids.append(call.request_id)
        self.bodies.append(body)
        self.responses.append(Response(self.turn, lambda: self.answering(body)))
        return self.responses[-1]


def schema_in(body: dict[str, Any]) -> Any:
    return body["response_format"]["format"]["json_schema"]


def answered(text: str | None, finish_reason: str = "stop") -> ReasonerAnswer:
    return ReasonerAnswer(200, {"choices": [{"finish_reason": finish_reason, "message": {"content": text}}]})


def refused(status: int, message: str) -> ReasonerAnswer:
    return ReasonerAnswer(status, {"error": {"message": message}})


def obedient(body: dict[str, Any]) -> ReasonerAnswer:
    """An answer that says which seed it was written with."""
    answer = answer_to(schema_in(body))
    return answered(json.dumps(answer | {"context": f"seed {body['seed']}"}))


def in_ray(error: Exception) -> Any:
    """An error as Ray raises it in the process that made the call."""
    return cast(Any, RayTaskError)("chat", "a traceback", error).as_instanceof_cause()


def in_turn(*answers: Answer) -> Answering:
    remaining = iter(answers)
    return lambda _: next(remaining)


def model(**fields: Any) -> ModelSettings:
    return ModelSettings(**{"name": "nano", "checkpoint": "tiny:nano"} | fields)


def upsampler(answering: Answering = obedient, waits: bool = False, **settings: Any) -> tuple[Upsampler, Reasoner]:
    reasoner = Reasoner(answering)
    if not waits:
        reasoner.turn.set()
    return Upsampler(model(upsampling=settings), tuple(Mode), reasoner), reasoner


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def context_of(prompt: UpsampledPrompt) -> str:
    caption = parse_structured(prompt.prompt)
    assert caption is not None
    return str(caption["context"])


async def started(reasoner: Reasoner, chats: int) -> None:
    while len(reasoner.bodies) < chats:
        await asyncio.sleep(0.01)


def failure(answering: Answering, call: UpsampleCall = IMAGE, **settings: Any) -> UpsamplingFailed:
    caught: list[UpsamplingFailed] = []

    async def test() -> None:
        with pytest.raises(UpsamplingFailed) as raised:
            await upsampler(answering, **settings)[0].upsample("job", call)
        caught.append(raised.value)

    run(test)
    return caught[0]


def test_a_prompt_is_written_for_what_is_generated() -> None:
    async def test() -> None:
        writer, reasoner = upsampler()
        still, clip = await writer.upsample("job", IMAGE), await writer.upsample("job", VIDEO)
        for found, call in ((still, IMAGE), (clip, VIDEO)):
            caption = parse_structured(found.prompt)
            assert caption is not None and caption["resolution"] == {"H": 480, "W": 832}
            assert "scene_imagination" not in caption and context_of(found) == "seed 7"
            assert found.template_sha256 == Template.read(OWN_TEMPLATES, Mode(call.mode)).sha256
            assert found.seconds >= 0
        assert "duration" not in still.prompt and '"duration": "7s"' in clip.prompt
        assert [body["model"] for body in reasoner.bodies] == ["nano", "nano"]
        # Jobs' ids are in the logs of the Reasoner, and no two chats have one id.
        assert all(name.startswith("job-") for name in reasoner.ids) and len(set(reasoner.ids)) == 2

    run(test)


def test_the_picture_is_read_from_the_media_store(tmp_path: Path) -> None:
    store = MediaStore(tmp_path.as_uri())
    first, second = (store.put(f"inputs/{n}", encode_image(picture(64, 96, seed=n), "png")) for n in (1, 2))
    same = store.put("inputs/3", encode_image(picture(64, 96, seed=1), "png"))

    async def test() -> None:
        writer, reasoner = upsampler()
        for uri in (first, second, same):
            await writer.upsample("job", replace(VIDEO, mode="image2video", image=uri))
        parts = [[part["type"] for part in body["messages"][0]["content"]] for body in reasoner.bodies]
        # The third has the content of the first under another name.
        assert parts == [["image_url", "text"]] * 2

    run(test)


def test_an_equal_call_makes_no_further_chat() -> None:
    async def test() -> None:
        writer, reasoner = upsampler()
        first = await writer.upsample("job", IMAGE)
        second = await writer.upsample("other", IMAGE)
        assert (second.prompt, second.template_sha256) == (first.prompt, first.template_sha256)
        stats = writer.stats()
        assert len(reasoner.bodies) == 1 and stats["upsample_cache_hits"] == stats["upsample_cached_prompts"] == 1
        assert (stats["upsample_requests"], stats["upsample_running"]) == (2, 0)

    run(test)


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a cup"}, {"seed": 8}, {"width": 480, "height": 832}, {"num_frames": 49}, {"fps": 12.0}],
    ids=lambda change: next(iter(change)),
)
def test_another_call_makes_another_chat(change: dict[str, Any]) -> None:
    async def test() -> None:
        writer, reasoner = upsampler()
        await writer.upsample("job", VIDEO)
        await writer.upsample("job", replace(VIDEO, **change))
        assert len(reasoner.bodies) == 2

    run(test)


def test_numbers_that_the_template_does_not_name_make_no_other_chat(tmp_path: Path) -> None:
    for name in ("t2i", "t2v", "i2v"):
        written(tmp_path, "Describe $nl_description.", json.dumps({"context": "what"}), name)

    async def test() -> None:
        writer, reasoner = upsampler(templates=tmp_path)
        small, large = [await writer.upsample("job", replace(IMAGE, width=width)) for width in (480, 832)]
        assert len(reasoner.bodies) == 1 and '"W": 480' in small.prompt and '"W": 832' in large.prompt

    run(test)


@pytest.mark.parametrize(("kept", "chats"), [(0, 3), (1, 3), (2, 2)])
def test_the_prompts_that_are_kept_are_bounded(kept: int, chats: int) -> None:
    async def test() -> None:
        writer, reasoner = upsampler(cached_prompts=kept)
        for prompt in ("a", "b", "a"):
            await writer.upsample("job", replace(IMAGE, prompt=prompt))
        assert len(reasoner.bodies) == chats and writer.stats()["upsample_cached_prompts"] == min(kept, 2)

    run(test)


def test_equal_calls_at_the_same_time_are_one_chat() -> None:
    async def test() -> None:
        writer, reasoner = upsampler(waits=True)
        calls = [writer.upsample(f"job {n}", IMAGE) for n in range(3)]
        waiting = asyncio.gather(*calls, writer.upsample("job 3", replace(IMAGE, seed=8)))
        await started(reasoner, 2)
        assert writer.stats()["upsample_running"] == 2
        reasoner.turn.set()
        found = await waiting
        assert [context_of(prompt) for prompt in found] == ["seed 7"] * 3 + ["seed 8"]
        assert len(reasoner.bodies) == 2

    run(test)


def test_a_chat_ends_with_the_last_who_waits_for_it() -> None:
    async def test() -> None:
        writer, reasoner = upsampler(waits=True)
        one, two = (asyncio.create_task(writer.upsample("job", IMAGE)) for _ in range(2))
        await started(reasoner, 1)
        await asyncio.sleep(0.05)
        one.cancel()
        await asyncio.sleep(0.05)
        assert one.cancelled() and not reasoner.responses[0].cancelled
        two.cancel()
        await asyncio.sleep(0.05)
        assert [chat.cancelled for chat in reasoner.responses] == [True] and writer.stats()["upsample_running"] == 0
        # Nothing of it is kept.
        reasoner.turn.set()
        await writer.upsample("job", IMAGE)
        assert len(reasoner.bodies) == 2

    run(test)


def test_a_failure_is_not_kept() -> None:
    async def test() -> None:
        writer, reasoner = upsampler(lambda body: next(answers)(body))
        answers = iter([lambda _: refused(503, "later"), obedient])
        with pytest.raises(UpsamplingFailed):
            await writer.upsample("job", IMAGE)
        assert context_of(await writer.upsample("job", IMAGE)) == "seed 7" and len(reasoner.bodies) == 2

    run(test)


@pytest.mark.parametrize(
    ("answer", "again", "message"),
    [
        (refused(429, "too many"), True, "the Reasoner is busy: 429 too many"),
        (refused(503, "starting"), True, "the Reasoner is busy: 503 starting"),
        (
            refused(400, "context of 9 tokens"),
            False,
            "the Reasoner refused to write the prompt: 400 context of 9 tokens",
        ),
        (refused(500, "oh"), False, "the Reasoner refused to write the prompt: 500 oh"),
        (ReasonerAnswer(500, {}), False, "the Reasoner refused to write the prompt: 500 "),
        (answered("{", "length"), False, "the Reasoner's prompt was not complete after 20000 tokens"),
        (answered("{"), False, "the Reasoner's answer is no JSON"),
        (answered("{}"), False, "the Reasoner's answer does not obey its schema: scene_imagination is missing"),
        (answered(None), False, "the Reasoner's answer holds no text"),
        (cast(Any, BackPressureError)(1, 1), True, "the Reasoner is busy"),
        (cast(Any, DeploymentUnavailableError)("Reasoner"), True, "the Reasoner is not available"),
        (
            in_ray(ValueError("secret")),
            False,
            "the Reasoner failed while it wrote the prompt",
        ),
    ],
)
def test_failures_say_what_happened_and_whether_it_may_pass(answer: Answer, again: bool, message: str) -> None:
    error = failure(in_turn(answer))
    assert (str(error), error.again) == (message, again)
    # It reaches Jobs from another process.
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.again) == (message, again)
    raised = in_ray(error)
    assert isinstance(raised, UpsamplingFailed) and raised.again is again


def test_a_reasoner_that_is_too_slow() -> None:
    async def test() -> None:
        writer, reasoner = upsampler(waits=True, timeout_s=0.1)
        with pytest.raises(UpsamplingFailed, match=r"wrote no prompt within 0\.1 s") as raised:
            await writer.upsample("job", IMAGE)
        assert raised.value.again and reasoner.responses[0].cancelled

    run(test)


def test_a_reasoner_that_died_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsampling, "RETRY_PAUSE_S", 0.01)
    # It died itself, or a stage that it asked.
    inner = in_ray(ActorDiedError())

    async def test() -> None:
        writer, reasoner = upsampler(lambda body: next(answers)(body))
        answers = iter([lambda _: ActorDiedError(), lambda _: inner, obedient])
        assert context_of(await writer.upsample("job", IMAGE)) == "seed 7"
        assert len(set(reasoner.ids)) == 3

    run(test)


def test_a_reasoner_that_stays_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsampling, "RETRY_PAUSE_S", 0.01)
    assert failure(lambda _: ActorDiedError(), timeout_s=0.2).again


def test_a_picture_that_the_reasoner_cannot_be_shown(tmp_path: Path) -> None:
    uri = MediaStore(tmp_path.as_uri()).put("inputs/x", b"no picture")
    error = failure(obedient, replace(VIDEO, mode="image2video", image=uri))
    assert str(error).startswith("the image cannot be shown to the Reasoner: ") and not error.again


def test_an_operators_templates_are_used(tmp_path: Path) -> None:
    for name in ("t2i", "t2v", "i2v"):
        written(tmp_path, f"{name}: $nl_description", json.dumps({"context": name, "extra": "int"}), name)

    async def test() -> None:
        writer, reasoner = upsampler(templates=tmp_path, max_tokens=500)
        found = await writer.upsample("job", VIDEO)
        assert parse_structured(found.prompt) == {
            "context": "seed 7",
            "extra": 0,
            "duration": "7s",
            "fps": 24.0,
            "resolution": {"H": 480, "W": 832},
            "aspect_ratio": "16,9",
        }
        (body,) = reasoner.bodies
        assert body["max_tokens"] == 500 and body["messages"][0]["content"][0]["text"] == "t2v: a robot"

    run(test)


def test_templates_that_are_missing_keep_a_model_from_starting(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"cannot read .*reasoner_t2i_prompt\.txt"):
        upsampler(templates=tmp_path)


def test_a_models_card_upsamples_only_with_a_reasoner_and_a_generator(nano: Path) -> None:
    reasoner = Reasoner(obedient)
    reasoner.turn.set()

    async def test() -> None:
        whole = Model(model(checkpoint=str(nano)), reasoner)
        assert context_of(await whole.upsample("job", IMAGE)) == "seed 7"
        assert (await whole.stats())["upsample_requests"] == 1
        for others in ({"reasoner": None}, {"generator": None}):
            given = model(checkpoint=str(nano), **others)
            part = Model(given, None if given.reasoner is None else reasoner)
            with pytest.raises(UpsamplingFailed, match="no Reasoner to write the prompt") as raised:
                await part.upsample("job", IMAGE)
            assert not raised.value.again and await part.stats() == {}

    run(test)
