"""All workflows through the running graph. Random weights write noise: a typed value comes out, or what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import Box, Regions, Unreadable
from cosmos3_core.workflows.chat import chat_body
from cosmos3_core.workflows.medium import Medium, MediumKind, read_medium
from cosmos3_core.workflows.parsing import parse_answer
from cosmos3_core.workflows.table import WORKFLOWS, Workflow, find_workflow
from deployments.cli.client import Client
from tests.parity.cases import picture

LENGTH = 24
CASES = [
    pytest.param(workflow, kind, id=f"{workflow.name}, {kind}")
    for workflow in WORKFLOWS.values()
    for kind in workflow.media
]


def medium_of(kind: MediumKind, folder: Path) -> Medium:
    if kind is MediumKind.IMAGE:
        (path := folder / "a.png").write_bytes(encode_image(picture(96, 128, seed=5), "png"))
    else:
        encode_mp4(path := folder / "a.mp4", (picture(96, 128, seed=seed) for seed in range(24)), 12)
    return read_medium(path)


def asked(client: Client, body: dict[str, Any]) -> tuple[str, str | None]:
    pieces: list[str] = []
    ended = client.chat(body, pieces.append)
    return "".join(pieces), ended


@pytest.mark.parametrize(("workflow", "kind"), CASES)
def test_a_workflow_gives_a_typed_answer(workflow: Workflow, kind: MediumKind, client: Client, tmp_path: Path) -> None:
    medium = medium_of(kind, tmp_path)
    text, ended = asked(client, chat_body(workflow, workflow.example, medium, max_tokens=LENGTH))
    answer = parse_answer(workflow, text, medium)
    assert ended in ("length", "stop") and answer.text == text
    if isinstance(answer.result, Unreadable):
        assert answer.result.reason.startswith("the answer ")
    else:
        assert answer.result.kind == workflow.form
        assert annotated(medium, answer.result).shape[2] == 3


def test_an_answer_of_the_right_form_is_read(client: Client, tmp_path: Path) -> None:
    """The server is made to write what a trained model would."""
    medium, workflow = medium_of(MediumKind.IMAGE, tmp_path), find_workflow("grounding-2d")
    written = '[{"bbox_2d": [0, 250, 500, 1000], "label": "cup"}]'
    body = chat_body(workflow, "Find the cup.", medium, max_tokens=200)
    text, ended = asked(client, {**body, "structured_outputs": {"choice": [written]}})
    assert (text, ended) == (written, "stop")
    answer = parse_answer(workflow, text, medium)
    assert answer.result == Regions(boxes=(Box(x1=0, y1=24, x2=64, y2=96, label="cup"),))
