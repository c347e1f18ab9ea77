"""The example answers of the documentation are read, and their pictures are those that the code draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos3_core.media.stills import decode_image
from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import Unreadable
from cosmos3_core.workflows.medium import read_medium
from cosmos3_core.workflows.table import WORKFLOWS
from examples import assets, drawn_scene, workflow_answers, workflows

DOCS = Path(__file__).parents[3] / "docs"
DOCUMENTED = (DOCS / "workflows.md").read_text(encoding="utf-8")
each_name = pytest.mark.parametrize("name", WORKFLOWS)


def test_every_workflow_has_its_examples() -> None:
    assert list(workflow_answers.ANSWERS) == list(workflows.EXAMPLES) == list(WORKFLOWS)


@each_name
def test_an_example_answer_is_read(name: str, tmp_path: Path) -> None:
    _, answer = workflow_answers.example(name, tmp_path)
    assert not isinstance(answer.result, Unreadable) and answer.result.kind == WORKFLOWS[name].form
    assert (answer.reasoning is not None) == WORKFLOWS[name].reasons


@each_name
def test_the_page_states_the_answer_and_shows_its_picture(name: str, tmp_path: Path) -> None:
    _, text = workflow_answers.ANSWERS[name]
    assert text in DOCUMENTED
    assert f"(images/workflows/{name}.png)" in DOCUMENTED
    path = DOCS / "images" / "workflows" / f"{name}.png"
    assert path.stat().st_size < 40_000
    medium, answer = workflow_answers.example(name, tmp_path)
    drawn, shown = annotated(medium, answer.result), decode_image(path)
    # Fonts and codecs of other versions differ by a little.
    assert drawn.shape[1] == shown.shape[1] and abs(drawn.shape[0] - shown.shape[0]) < 40
    height = min(len(drawn), len(shown))
    assert np.abs(drawn[:height].astype(int) - shown[:height]).mean() < 6


@each_name
def test_an_example_asks_about_a_medium_that_its_workflow_takes(name: str) -> None:
    example, workflow = workflows.EXAMPLES[name], WORKFLOWS[name]
    workflow.check_medium(example.kind)
    assert workflow.ask(example.question)


@each_name
def test_stand_ins_are_files_of_the_right_kind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSMOS3_ASSETS", raising=False)
    path = workflows.media_file(workflows.EXAMPLES[name], tmp_path)
    assert path.parent == tmp_path
    assert read_medium(path).kind is workflows.EXAMPLES[name].kind


def test_real_files_are_used_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    (path := tmp_path / "videos" / "clip.mp4").write_bytes(b"")
    monkeypatch.setenv("COSMOS3_ASSETS", str(tmp_path))
    assert assets.video_file("clip", tmp_path / "elsewhere") == path


def test_the_green_cup_falls() -> None:
    still, late = drawn_scene.scene(0.0), drawn_scene.scene(7.0)
    assert still.shape == (320, 480, 3)
    green = np.abs(still.astype(int) - (40, 150, 70)).sum(-1) < 30
    assert green[170, 335] and not (np.abs(late.astype(int) - (40, 150, 70)).sum(-1) < 30)[170, 335]
