"""Questions and answers: the product's own reader of answers understands them, and what it reads is true."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cosmos3_core.workflows.answers import (
    Actions,
    Answer,
    Caption,
    Label,
    Regions,
    Spans,
    Unreadable,
    Verdict,
)
from cosmos3_core.workflows.chat import REASONING_TEXT
from cosmos3_core.workflows.medium import Medium, MediumKind
from cosmos3_core.workflows.parsing import parse_answer
from cosmos3_core.workflows.table import WORKFLOWS, find_workflow
from examples.tiny_world.measure.blobs import find_blobs, ground_of
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.facts import facts_of
from examples.tiny_world.scenes.flaws import draw_flawed
from examples.tiny_world.scenes.render import render
from examples.tiny_world.scenes.scene import ClipFormat, FlawKind, Scene
from examples.tiny_world.texts import questions
from examples.tiny_world.texts.questions import REASONER_FORMAT, Question, questions_about

KINDS: dict[str, type] = {
    "caption": Caption,
    "temporal-localization": Spans,
    "embodied-reasoning": Actions,
    "grounding-2d": Regions,
    "describe-anything": Regions,
    "physical-plausibility": Verdict,
    "situation-understanding": Label,
}


def _read(question: Question, scene: Scene, reasons: bool = False) -> Answer:
    clip = scene.format
    seconds = None if question.is_image else clip.frames / clip.fps
    kind = MediumKind.IMAGE if question.is_image else MediumKind.VIDEO
    workflow = find_workflow(question.workflow)
    workflow.check_medium(kind)
    return parse_answer(workflow, question.reply(reasons), Medium(kind, clip.width, clip.height, seconds))


def _scenes(count: int = 12) -> Iterator[tuple[Scene, np.random.Generator]]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield draw_scene(rng, list(Topic)[seed % len(Topic)], clip=REASONER_FORMAT), rng


def test_every_answer_is_read_as_what_its_workflow_gives() -> None:
    seen = set()
    for scene, rng in _scenes():
        for question in questions_about(scene, rng):
            seen.add(question.workflow)
            for reasons in (False, True):
                answer = _read(question, scene, reasons)
                assert isinstance(answer.result, KINDS[question.workflow]), (question, answer.result)
                assert answer.reasoning == (question.reasoning if reasons else None)
    assert seen == set(KINDS) <= set(WORKFLOWS)


def test_prompts_are_those_of_the_workflows() -> None:
    scene, rng = next(_scenes())
    for question in questions_about(scene, rng):
        form = find_workflow(question.workflow).form_text
        assert question.prompt().endswith(form) and REASONING_TEXT not in question.prompt()
        assert question.prompt(reasons=True).endswith(REASONING_TEXT)
        assert (question.question or find_workflow(question.workflow).question or "?") in question.prompt()


def test_boxes_lie_around_the_shapes_in_the_picture() -> None:
    for scene, rng in _scenes():
        picture = render(scene)[0]
        blobs = {blob.colour: blob.part > 0.5 for blob in find_blobs(picture, ground_of(picture[None]))}
        result = _read(questions.description(scene, facts_of(scene), rng), scene).result
        assert isinstance(result, Regions) and len(result.boxes) == len(scene.bodies)
        for box in result.boxes:
            rows, columns = np.nonzero(blobs[box.label.split()[0]])
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(found, abs=2.5)
            assert box.label in box.description


def test_grounding_asks_for_one_for_all_and_for_what_is_not_there() -> None:
    scene = draw_scene(np.random.default_rng(0), Topic.CONTACT)
    rng = np.random.default_rng(1)
    asked = [questions.grounding(scene, facts_of(scene), rng) for _ in range(60)]
    results = [_read(question, scene).result for question in asked]
    assert all(isinstance(result, Regions) for result in results)
    found = [len(result.boxes) + len(result.points) for result in results if isinstance(result, Regions)]
    assert {0, 1, 2} == set(found)
    names = {body.name for body in scene.bodies}
    for question, count in zip(asked, found, strict=True):
        assert question.question is not None
        assert (count == 0) == (not any(name in question.question for name in (*names, "every shape")))


def test_events_are_at_their_times() -> None:
    for scene, rng in _scenes():
        facts = facts_of(scene)
        result = _read(questions.events(scene, facts, rng), scene).result
        assert isinstance(result, Spans)
        for span, event in zip(result.spans, facts.events, strict=True):
            assert span.start <= event.seconds <= span.end <= span.start + 0.26
            assert facts.shapes[event.body].name in span.label


@pytest.mark.parametrize("kind", FlawKind)
def test_a_flawed_clip_is_asked_one_question_and_is_implausible(kind: FlawKind) -> None:
    rng = np.random.default_rng(0)
    scene = draw_flawed(rng, kind)
    (question,) = questions_about(scene, rng)
    result = _read(question, scene).result
    assert isinstance(result, Verdict) and not result.plausible
    assert scene.bodies[0].name in result.explanation


def test_clips_without_a_flaw_are_plausible() -> None:
    for scene, _ in _scenes(5):
        result = _read(questions.plausibility(scene), scene).result
        assert isinstance(result, Verdict) and result.plausible


def test_yes_and_no_are_equally_frequent_and_true() -> None:
    answers = []
    for scene, rng in _scenes():
        facts = facts_of(scene)
        for question in questions.yes_or_no(facts, rng):
            result = _read(question, scene).result
            assert isinstance(result, Actions) and result.answer in ("Yes.", "No.")
            answers.append(result.answer)
            asked = question.question or ""
            if asked.startswith("Is there"):
                assert (result.answer == "Yes.") == any(shape.name in asked for shape in facts.shapes)
    assert answers.count("Yes.") == answers.count("No.")


def test_a_question_about_one_shape_has_one_answer() -> None:
    for scene, rng in _scenes():
        kinds = [body.kind for body in scene.bodies]
        for question in questions.facts_asked(facts_of(scene), rng):
            asked = question.question or ""
            if asked.startswith("What color is the ") and "ground" not in asked:
                assert kinds.count(next(kind for kind in kinds if kind in asked)) == 1


def test_a_picture_is_asked_about_as_a_picture() -> None:
    rng = np.random.default_rng(0)
    scene = draw_scene(rng, Topic.STILL, clip=ClipFormat(frames=1))
    asked = questions_about(scene, rng)
    assert asked and all(question.is_image for question in asked)
    assert not any(isinstance(_read(question, scene).result, Unreadable) for question in asked)
