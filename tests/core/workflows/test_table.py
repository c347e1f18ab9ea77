"""The table of workflows: complete, consistent, and what the documentation says."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.workflows import answers
from cosmos3_core.workflows.medium import MediumKind
from cosmos3_core.workflows.table import WORKFLOWS, Form, Workflow, find_workflow

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "workflows.md").read_text(encoding="utf-8")
each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))


def test_there_are_the_eight_of_the_cookbook() -> None:
    assert list(WORKFLOWS) == [
        "caption",
        "temporal-localization",
        "embodied-reasoning",
        "grounding-2d",
        "describe-anything",
        "action-chain-of-thought",
        "physical-plausibility",
        "situation-understanding",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("caption", "caption"),
        ("Grounding_2D", "grounding-2d"),
        (" common-sense ", "embodied-reasoning"),
        ("COMMON_SENSE", "embodied-reasoning"),
    ],
)
def test_a_workflow_is_found_by_any_of_its_names(name: str, found: str) -> None:
    assert find_workflow(name) is WORKFLOWS[found]


@pytest.mark.parametrize("name", ["", "captions", "grounding", "../caption"])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        find_workflow(name)
    assert refused.value.field == "workflow" and repr(name) in str(refused.value)
    assert all(known in str(refused.value) for known in WORKFLOWS)


def test_no_name_means_two_workflows() -> None:
    names = [name for workflow in WORKFLOWS.values() for name in (workflow.name, *workflow.aliases)]
    assert len(names) == len(set(names)) == 9


@each_workflow
def test_a_row_is_complete(workflow: Workflow) -> None:
    assert workflow.media and workflow.purpose.endswith(".") and "\n" not in workflow.purpose
    assert workflow.example
    # A caption is any text; every other form is asked for in words.
    assert ("JSON" in workflow.form_text) == (workflow.form is not Form.CAPTION)


def test_every_form_has_a_type_and_is_used() -> None:
    union, _ = get_args(answers.Result)
    kinds = {cls.model_fields["kind"].default for cls in get_args(union)}
    assert kinds == {form.value for form in Form} | {"unreadable"}
    assert {workflow.form for workflow in WORKFLOWS.values()} == set(Form)


@each_workflow
@pytest.mark.parametrize("kind", MediumKind)
def test_a_medium_of_the_wrong_kind_is_refused(workflow: Workflow, kind: MediumKind) -> None:
    if kind in workflow.media:
        workflow.check_medium(kind)
        return
    with pytest.raises(RequestError, match=rf"^medium is an? {kind}; {workflow.name} needs an? {workflow.media[0]}$"):
        workflow.check_medium(kind)


@each_workflow
@pytest.mark.parametrize("question", [None, "", "  \n"])
def test_without_a_question_the_own_one_is_asked_or_the_error_shows_one(
    workflow: Workflow, question: str | None
) -> None:
    if workflow.question is not None:
        assert workflow.ask(question) == workflow.question
        return
    with pytest.raises(RequestError) as refused:
        workflow.ask(question)
    assert str(refused.value) == f'question is missing; {workflow.name} needs one such as "{workflow.example}"'


@each_workflow
def test_the_question_of_the_user_wins(workflow: Workflow) -> None:
    assert workflow.ask(" Where is the cup? ") == "Where is the cup?"


@each_workflow
def test_the_documentation_has_the_row(workflow: Workflow) -> None:
    (line,) = [line for line in DOCUMENTED.splitlines() if line.startswith(f"| `{workflow.name}`")]
    name, purpose, media, reasons, form = (cell.strip() for cell in line.strip("|").split("|"))
    assert name == ", ".join(f"`{known}`" for known in (workflow.name, *workflow.aliases))
    assert purpose == workflow.purpose.removesuffix(".")
    assert media == " or ".join(workflow.media)
    assert reasons == ("yes" if workflow.reasons else "no")
    assert form == f"`{workflow.form}`"


@each_workflow
def test_the_documentation_has_the_words_of_the_prompt(workflow: Workflow) -> None:
    unwrapped = " ".join(DOCUMENTED.split())
    assert workflow.form_text in unwrapped
    assert (workflow.question or workflow.example) in unwrapped
