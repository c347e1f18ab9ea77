"""Answers of all workflows, well formed and not, become typed values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.workflows.answers import (
    Actions,
    Answer,
    Box,
    Caption,
    Label,
    Point,
    Regions,
    Result,
    Span,
    Spans,
    Trajectory,
    Unreadable,
    Verdict,
)
from cosmos3_core.workflows.medium import Medium, MediumKind
from cosmos3_core.workflows.parsing import MAX_CHARACTERS, parse_answer
from cosmos3_core.workflows.table import WORKFLOWS, Workflow, find_workflow
from tests.core.workflows.samples import IMAGE, VIDEO

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))
CUP = Box(x1=64, y1=96, x2=320, y2=240, label="cup")
PLATE = Point(x=320, y=120, label="plate")
CUP_TEXT = '{"bbox_2d": [100, 200, 500, 500], "label": "cup"}'
PLATE_TEXT = '{"point_2d": [500, 250], "label": "plate"}'


def medium_of(workflow: Workflow) -> Medium:
    return IMAGE if MediumKind.IMAGE in workflow.media else VIDEO


def answer_of(name: str, text: str) -> Answer:
    workflow = find_workflow(name)
    return parse_answer(workflow, text, medium_of(workflow))


def result_of(name: str, text: str) -> Result:
    return answer_of(name, text).result


def reason_of(name: str, text: str) -> str:
    answer = answer_of(name, text)
    assert isinstance(answer.result, Unreadable) and answer.text == text
    return answer.result.reason


def test_a_caption_is_the_text() -> None:
    assert result_of("caption", " A cup.\nAnd a plate. ") == Caption(text="A cup.\nAnd a plate.")


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        (f"[{CUP_TEXT}]", Regions(boxes=(CUP,))),
        (CUP_TEXT, Regions(boxes=(CUP,))),
        (f"```json\n[\n{CUP_TEXT},\n{PLATE_TEXT}\n]\n```", Regions(boxes=(CUP,), points=(PLATE,))),
        (f"Sure! {CUP_TEXT} and {PLATE_TEXT}", Regions(boxes=(CUP,), points=(PLATE,))),
        (f'{{"objects": [{CUP_TEXT}]}}', Regions(boxes=(CUP,))),
        (f'{{"objects": {{"a": [{CUP_TEXT}], "b": {PLATE_TEXT}}}}}', Regions(boxes=(CUP,), points=(PLATE,))),
        ('{"cup": [100, 200, 500, 500]}', Regions(boxes=(CUP,))),
        ("[[100, 200, 500, 500]]", Regions(boxes=(CUP.model_copy(update={"label": ""}),))),
        (f'[{CUP_TEXT}, {{"bbox_2d": [1, 2', Regions(boxes=(CUP,))),
        (f'[{CUP_TEXT}, {{"bbox_2d": "nowhere", "label": "fork"}}]', Regions(boxes=(CUP,))),
        ("[]", Regions()),
        ('```json\n{"objects": []}\n```', Regions()),
    ],
)
@pytest.mark.parametrize("name", ["grounding-2d", "describe-anything"])
def test_regions(name: str, text: str, regions: Regions) -> None:
    assert result_of(name, text) == regions


def test_coordinates_outside_the_image_are_moved_to_its_edge() -> None:
    found = result_of("grounding-2d", '{"bbox_2d": [-50, 200.5, 1200, 1e30], "label": "cup"}')
    assert found == Regions(boxes=(Box(x1=0, y1=96.2, x2=640, y2=480, label="cup"),))


@pytest.mark.parametrize("text", ["There is no cup.", "[1, 2, 3]", '{"label": "cup"}', "{}", "[NaN, 1, 2, 3]", "[[]]"])
def test_no_regions(text: str) -> None:
    assert reason_of("grounding-2d", text) == (
        "the answer has no boxes or points; expected JSON objects with bbox_2d or point_2d"
    )


@pytest.mark.parametrize(
    "text",
    [
        '[{"start": "0:05", "end": "0:09", "event": "a door opens"}, {"start": 12, "end": 13.5, "event": "it shuts"}]',
        '{"events": [{"time": "0:05-0:09", "event": "a door opens"}, {"time": [12, 13.5], "event": "it shuts"}]}',
        '```json\n{"start": 5, "end": 9, "label": "a door opens"}\n{"from": 12, "to": 13.5, "event": "it shuts"}\n```',
        '{"0:05-0:09": "a door opens", "0:12.0-0:13.5": "it shuts"}',
        '[[5, 9, "a door opens"], [12, 13.5, "it shuts"]]',
        "1. 00:05 - 00:09: a door opens\n2. 00:12 - 00:13.5: it shuts",
        '[{"start": 5, "end": 9, "event": "a door opens"}, {"start": 12, "end": 13.5, "event": "it shuts"}, {"start',
    ],
)
def test_spans(text: str) -> None:
    doors = (Span(start=5, end=9, label="a door opens"), Span(start=12, end=13.5, label="it shuts"))
    assert result_of("temporal-localization", text) == Spans(spans=doors)


def test_spans_end_with_the_video() -> None:
    found = result_of("temporal-localization", '[{"start": "00:15", "end": "00:40", "event": "a"}]')
    assert found == Spans(spans=(Span(start=15, end=20, label="a"),))


def test_no_spans_and_spans_that_are_none() -> None:
    assert result_of("temporal-localization", "[]") == Spans()
    assert reason_of("temporal-localization", "A door opens, then it shuts.") == (
        "the answer has no times; expected JSON objects with start and end"
    )


@pytest.mark.parametrize(
    ("text", "answer", "actions"),
    [
        ('{"answer": "Clear it.", "actions": ["lift the cup", "wipe"]}', "Clear it.", ("lift the cup", "wipe")),
        ('{"answer": "It would break.", "actions": []}', "It would break.", ()),
        ('{"answer": "It would break."}', "It would break.", ()),
        ('```json\n{"next_action": "lift the cup"}\n```', "", ("lift the cup",)),
        ('{"steps": [{"step": "lift the cup"}, {"action": "wipe"}, {"n": 3}, 4, ""]}', "", ("lift the cup", "wipe")),
        ('["lift the cup", "wipe"]', "", ("lift the cup", "wipe")),
        ("It would break.", "It would break.", ()),
        ("Do this:\n1. lift the cup\n2) wipe", "Do this:\n1. lift the cup\n2) wipe", ("lift the cup", "wipe")),
        ("- lift the cup\n* wipe", "- lift the cup\n* wipe", ("lift the cup", "wipe")),
        ("{}", "{}", ()),
    ],
)
def test_actions(text: str, answer: str, actions: tuple[str, ...]) -> None:
    assert result_of("common-sense", text) == Actions(answer=answer, actions=actions)


@pytest.mark.parametrize(
    "text",
    [
        '[{"point_2d": [0, 0]}, {"point_2d": [500, 250]}, {"point_2d": [1000, 1000]}]',
        '{"trajectory": [[0, 0], [500, 250], [1000, 1000]]}',
        "[[0, 0], [500, 250], [1000, 1000]]",
        "[0, 0] -> [500, 250] -> [1000, 1000]",
        '{"points": [{"x": 0, "y": 0}, {"x": 500, "y": 250}, {"x": 1000, "y": 1000}]}',
        '{"point_2d": [[0, 0], [500, 250], [1000, 1000]]}',
        "Move through (0, 0), (500, 250) and (1000, 1000).",
        "<think>hm [1, 1]</think>[[0, 0], [500, 250], [1200, 1000]]",
    ],
)
def test_trajectories(text: str) -> None:
    places = [(0, 0), (320, 120), (640, 480)]
    points = tuple(Point(x=x, y=y) for x, y in places)
    assert result_of("action-chain-of-thought", text) == Trajectory(points=points)


@pytest.mark.parametrize("text", ["[]", "move left", "[1, 2, 3]", '{"point_2d": "left"}', "(1; 2)"])
def test_no_trajectory(text: str) -> None:
    expected = "the answer has no points; expected JSON objects with point_2d"
    assert reason_of("action-chain-of-thought", text) == expected


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"verdict": "plausible", "explanation": "It falls."}', Verdict(plausible=True, explanation="It falls.")),
        ('{"verdict": "Implausible", "reason": "It rises."}', Verdict(plausible=False, explanation="It rises.")),
        ('{"plausible": false}', Verdict(plausible=False)),
        ('{"answer": "Yes"}', Verdict(plausible=True)),
        ('{"verdict": "maybe", "label": "not plausible"}', Verdict(plausible=False)),
        ("Implausible: it rises.", Verdict(plausible=False, explanation="Implausible: it rises.")),
        ("No", Verdict(plausible=False, explanation="No")),
    ],
)
def test_verdicts(text: str, verdict: Verdict) -> None:
    assert result_of("physical-plausibility", text) == verdict


@pytest.mark.parametrize("text", ["4", "A ball.", '{"verdict": 3}', "It may be plausible, or implausible."])
def test_no_verdict(text: str) -> None:
    expected = "the answer has no clear verdict; expected plausible or implausible"
    assert reason_of("physical-plausibility", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"situation": "near miss", "explanation": "A car brakes."}',
        'I see: ```json\n{"label": "near miss", "reason": "A car brakes."}\n```',
        '[{"situation": " near miss ", "explanation": "A car brakes."}]',
    ],
)
def test_labels(text: str) -> None:
    assert result_of("situation-understanding", text) == Label(label="near miss", explanation="A car brakes.")


@pytest.mark.parametrize("text", ["A car brakes.", '{"situation": ""}', '{"situation": ["a"]}', "[]"])
def test_no_label(text: str) -> None:
    expected = "the answer has no situation; expected a JSON object with situation"
    assert reason_of("situation-understanding", text) == expected


def test_reasoning_is_kept_apart() -> None:
    text = f"<think>\nA plate at [1, 2, 3, 4].\n</think>\n\n[{CUP_TEXT}]"
    answer = answer_of("grounding-2d", text)
    assert answer.reasoning == "A plate at [1, 2, 3, 4]." and answer.text == text
    assert answer.result == Regions(boxes=(CUP,)) and answer.workflow == "grounding-2d"


@each_workflow
@pytest.mark.parametrize("text", ["", "  \n", "<think>hm</think>", "<answer></answer>"])
def test_an_empty_answer_cannot_be_read(workflow: Workflow, text: str) -> None:
    assert reason_of(workflow.name, text) == "the answer is empty"


@each_workflow
def test_an_answer_that_ends_while_thinking_cannot_be_read(workflow: Workflow) -> None:
    answer = answer_of(workflow.name, f"<think>I see a cup {CUP_TEXT}")
    assert answer.result == Unreadable(reason="the answer ends inside <think>; allow more tokens")
    assert answer.reasoning == f"I see a cup {CUP_TEXT}"


@each_workflow
def test_an_answer_without_end_is_not_read(workflow: Workflow) -> None:
    assert f"expected at most {MAX_CHARACTERS}" in reason_of(workflow.name, "a" * (MAX_CHARACTERS + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["0:05-0:09", "yes", "1, 2"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["bbox_2d", "point_2d", "x", "y", "start", "end", "time", "label", "verdict", "actions"]),
            inner,
        )
    ),
    max_leaves=12,
)


def check_any(workflow: Workflow, text: str) -> None:
    """Whatever the text, the answer is a value in the medium's bounds that survives a trip through JSON."""
    answer = parse_answer(workflow, text, medium_of(workflow))
    assert Answer.model_validate_json(answer.model_dump_json()) == answer
    result: Any = answer.result
    for box in getattr(result, "boxes", ()):
        assert 0 <= box.x1 <= box.x2 <= 640 and 0 <= box.y1 <= box.y2 <= 480
    for point in getattr(result, "points", ()):
        assert 0 <= point.x <= 640 and 0 <= point.y <= 480
    for span in getattr(result, "spans", ()):
        assert 0 <= span.start <= span.end <= 20


@each_workflow
@given(text=st.text() | st.text(alphabet='[]{}",:0123456789.()-\n` ab') | st.text(alphabet=["\ud800", "{", '"', "}"]))
def test_no_text_raises(workflow: Workflow, text: str) -> None:
    check_any(workflow, text)


@each_workflow
@given(value=JSON, before=st.sampled_from(["", "```json\n", "<think>a</think>", "</think>"]), cut=st.integers(0, 3))
def test_no_json_raises(workflow: Workflow, value: Any, before: str, cut: int) -> None:
    text = before + json.dumps(value)
    check_any(workflow, text[: len(text) - cut])


@each_workflow
@pytest.mark.parametrize(
    "text", ["[" * 50_000, '{"bbox_2d":' * 10_000, "(1, " * 40_000, "0:01-" * 40_000, "1. \n" * 40_000]
)
def test_hostile_texts_are_read_soon(workflow: Workflow, text: str) -> None:
    check_any(workflow, text)
