"""`examples/workflows.py` against a real HTTP server whose answers the tests choose."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cosmos3_core.media.stills import decode_image
from cosmos3_core.workflows.answers import Answer
from deployments.cli.client import Client
from examples import workflow_answers, workflows
from tests.cli.answering_server import Server, chunk, envelope, stream


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSMOS3_ASSETS", raising=False)


def answers(server: Server, text: str) -> None:
    server.answers["POST", "/v1/chat/completions"] = stream(chunk(text) + "data: [DONE]\n\n", piece=1000)


@pytest.mark.parametrize("name", workflows.EXAMPLES)
def test_an_answer_and_its_picture_are_written(server: Server, client: Client, name: str, tmp_path: Path) -> None:
    answers(server, workflow_answers.ANSWERS[name][1])
    assert workflows.run_all(client, [name], tmp_path, max_tokens=50) == 0
    answer = Answer.model_validate_json((tmp_path / f"{name}.json").read_text())
    assert answer.result.kind != "unreadable" and answer.text == workflow_answers.ANSWERS[name][1]
    assert decode_image(tmp_path / f"{name}.png").std() > 1
    assert server.sent[0].fields["max_tokens"] == 50


def test_what_cannot_be_read_is_said_and_not_drawn(
    server: Server, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(server, "flub")
    assert workflows.run_all(client, ["grounding-2d"], tmp_path, max_tokens=None) == 0
    assert json.loads((tmp_path / "grounding-2d.json").read_text())["text"] == "flub"
    assert not (tmp_path / "grounding-2d.png").exists()
    assert "cannot be read: the answer has no boxes or points" in " ".join(capsys.readouterr().out.split())


def test_a_refusal_leaves_the_others_to_be_asked(server: Server, client: Client, tmp_path: Path) -> None:
    server.answers["POST", "/v1/chat/completions"] = envelope(400, "no videos here")
    assert workflows.run_all(client, ["caption", "grounding-2d"], tmp_path, max_tokens=None) == 2
    assert len(server.sent) == 2 and list(tmp_path.glob("*.json")) == []


def test_the_program_asks_the_named_workflows(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(server, '{"answer": "Wait."}')
    arguments = ["common_sense", "--url", server.url, "--output", str(tmp_path / "new" / "folder")]
    monkeypatch.setattr(sys, "argv", ["workflows", *arguments])
    assert workflows.main() == 0
    assert (tmp_path / "new" / "folder" / "embodied-reasoning.json").is_file() and len(server.sent) == 1
    monkeypatch.setattr(sys, "argv", ["workflows", "captions"])
    with pytest.raises(SystemExit) as ended:
        workflows.main()
    assert ended.value.code == 2 and "workflow is 'captions'; expected one of" in capsys.readouterr().err
