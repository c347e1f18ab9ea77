"""`cosmos3 ask`: what it sends to a real HTTP server, what it prints, draws and refuses."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.workflows.table import WORKFLOWS
from deployments.cli.main import main
from tests.cli.answering_server import Server, chunk, envelope, stream
from tests.core.media.samples import flat, mp4

CUP = '[{"bbox_2d": [100, 200, 500, 500], "label": "cup"}]'
DOORS = '[{"start": "0:00.5", "end": "00:01.00", "event": "a door opens"}]'


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    status: int
    out: str
    err: str


Ask = Callable[..., Ended]


@pytest.fixture
def ask(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("cup.png").write_bytes(encode_image(flat((128, 128, 128), 480, 640), "png"))
    Path("door.mp4").write_bytes(mp4(24, 12))
    Path("text.png").write_text("no picture")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cosmos3", "ask", *arguments, "--url", server.url])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ended(int(ended.value.code or 0), said.out, " ".join(said.err.split()))

    return run


def answers(server: Server, text: str, reason: str = "stop") -> None:
    last = {"choices": [{"delta": {}, "finish_reason": reason}]}
    server.answers["POST", "/v1/chat/completions"] = stream(
        chunk(text) + f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"
    )


def content_sent(server: Server) -> list[dict[str, Any]]:
    (sent,) = server.sent
    (message,) = sent.fields["messages"]
    parts: list[dict[str, Any]] = message["content"]
    return parts


def test_a_plain_question(server: Server, ask: Ask) -> None:
    answers(server, "Hello.")
    assert ask("who are you?") == Ended(0, "Hello.\n", "")
    assert content_sent(server) == [{"type": "text", "text": "who are you?"}]
    assert {name: value for name, value in server.sent[0].fields.items() if name != "messages"} == {
        "max_tokens": 512,
        "stream": True,
    }


def test_a_plain_question_about_an_image(server: Server, ask: Ask) -> None:
    answers(server, "A cup.")
    assert ask("cup.png", "what is it?", "--max-tokens", "7").out == "A cup.\n"
    shown, asked = content_sent(server)
    encoded = base64.b64encode(Path("cup.png").read_bytes()).decode()
    assert shown == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    assert asked == {"type": "text", "text": "what is it?"}
    assert server.sent[0].fields["max_tokens"] == 7 and "mm_processor_kwargs" not in server.sent[0].fields


def test_a_plain_question_about_a_video(server: Server, ask: Ask) -> None:
    answers(server, "A door.")
    assert ask("door.mp4", "what is it?").out == "A door.\n"
    shown, asked = content_sent(server)
    encoded = base64.b64encode(Path("door.mp4").read_bytes()).decode()
    assert shown == {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{encoded}"}}
    assert asked["type"] == "text"
    assert server.sent[0].fields["mm_processor_kwargs"] == {"fps": 4, "do_sample_frames": True}


def test_a_workflow_prints_the_answer_and_its_reading(server: Server, ask: Ask) -> None:
    answers(server, CUP)
    ended = ask("cup.png", "Find the cup.", "--workflow", "grounding-2d")
    assert ended == Ended(0, f"{CUP}\n\n1. box 64, 96 to 320, 240  cup\n", "")
    _, asked = content_sent(server)
    assert asked["text"].startswith("Find the cup.\n\n") and "bbox_2d" in asked["text"]
    assert server.sent[0].fields["temperature"] == 0.7 and server.sent[0].fields["max_tokens"] == 1024


def test_json_is_all_that_is_printed(server: Server, ask: Ask) -> None:
    answers(server, f"<think>hm</think>{CUP}")
    ended = ask("cup.png", "Find the cup.", "--workflow", "grounding-2d", "--json", "--think")
    box = {"x1": 64, "y1": 96, "x2": 320, "y2": 240, "label": "cup", "description": ""}
    assert json.loads(ended.out) == {
        "workflow": "grounding-2d",
        "result": {"kind": "regions", "boxes": [box], "points": []},
        "reasoning": "hm",
        "text": f"<think>hm</think>{CUP}",
    }
    assert ended.err == "" and server.sent[0].fields["temperature"] == 0.6


def test_boxes_are_drawn_onto_the_image(server: Server, ask: Ask, tmp_path: Path) -> None:
    answers(server, CUP)
    ended = ask("cup.png", "Find the cup.", "--workflow", "grounding-2d", "--annotate", "out.png")
    assert (ended.status, ended.err) == (0, "drawn into out.png")
    marks = (decode_image(tmp_path / "out.png") != 128).any(-1)
    assert marks[240, 200] and marks[170, 64] and not marks[300:].any()


def test_spans_are_drawn_onto_a_contact_sheet(server: Server, ask: Ask, tmp_path: Path) -> None:
    answers(server, DOORS)
    ended = ask("door.mp4", "--workflow", "temporal_localization", "--annotate", "out.jpg")
    assert ended.out.endswith("1. 0:00.5 to 0:01.0  a door opens\n")
    sheet = decode_image(tmp_path / "out.jpg")
    assert sheet.shape[1] > 900 and sheet.std() > 1
    assert content_sent(server)[1]["text"].startswith(WORKFLOWS["temporal-localization"].question or "?")


@pytest.mark.parametrize("option", [[], ["--json"], ["--annotate", "out.png"]])
def test_an_answer_that_cannot_be_read(server: Server, ask: Ask, option: list[str]) -> None:
    answers(server, "flub [/red] nix", "length")
    ended = ask("cup.png", "Find the cup.", "--workflow", "grounding-2d", "--max-tokens", "9", *option)
    assert ended.status == 3
    assert "flub [/red] nix" in ended.out
    assert "the answer cannot be read: the answer has no boxes or points" in ended.err
    assert "the answer was cut off after 9 tokens; --max-tokens allows more" in ended.err
    assert not Path("out.png").exists()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_workflow_can_be_asked(server: Server, ask: Ask, name: str) -> None:
    workflow = WORKFLOWS[name]
    answers(server, "The verdict: plausible, at (1, 2), 0:00 - 0:01, " + '{"situation": "a"} [1, 2, 3, 4]')
    media = "cup.png" if "image" in workflow.media else "door.mp4"
    ended = ask(media, workflow.example, "--workflow", name, "--annotate", "out.webp", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["result"]["kind"] == workflow.form
    assert np.asarray(decode_image(Path("out.webp"))).size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "b.png", "what?"], "expected at most one file and one question in quotes"),
        (["absent.png", "what?"], "there is no file absent.png"),
        (["text.png", "what?"], "text.png cannot be decoded; expected an image"),
        (["what?", "--workflow", "caption"], "there is no file what?; with --workflow the first word is a file"),
        (["cup.png", "what?", "--workflow", "captions"], "workflow is 'captions'; expected one of caption, temporal"),
        (["cup.png", "--workflow", "temporal-localization"], "medium is an image; temporal-localization needs a video"),
        (["door.mp4", "what?", "--workflow", "grounding-2d"], "medium is a video; grounding-2d needs an image"),
        (["cup.png", "--workflow", "grounding-2d"], 'question is missing; grounding-2d needs one such as "Find'),
        (["text.png", "--workflow", "caption"], "text.png cannot be decoded; expected an image"),
        (["cup.png", "what?", "--annotate", "out.png"], "needs --workflow; --workflows lists them"),
        (["cup.png", "what?", "--json"], "needs --workflow; --workflows lists them"),
        (["cup.png", "what?", "--no-think"], "needs --workflow; --workflows lists them"),
        (["cup.png", "--workflow", "caption", "--annotate", "a.mp4"], "annotate is 'a.mp4'; pictures are written as"),
        (["cup.png", "--workflow", "caption", "--annotate", "no/a.png"], "annotate is no/a.png; expected a file in"),
        (["cup.png", "--workflow", "caption", "--max-tokens", "0"], "--max-tokens"),
        ([], "Missing argument"),
    ],
)
def test_wrong_input_is_a_sentence_and_is_not_sent(
    server: Server, ask: Ask, arguments: list[str], message: str
) -> None:
    ended = ask(*arguments)
    assert ended.status == 2
    assert message in ended.err.replace("│ ", "").replace(" │", "")
    assert server.sent == [] and ended.out == ""


def test_a_refusal_of_the_server(server: Server, ask: Ask) -> None:
    server.answers["POST", "/v1/chat/completions"] = envelope(400, "video_url is not supported")
    ended = ask("door.mp4", "--workflow", "caption")
    assert (ended.status, ended.err) == (2, "error: 400: video_url is not supported")


def test_the_list_of_workflows(server: Server, ask: Ask) -> None:
    ended = ask("--workflows")
    assert ended.status == 0 and server.sent == []
    for workflow in WORKFLOWS.values():
        (line,) = [
            line for line in ended.out.splitlines() if line.split()[:1] in ([workflow.name], [workflow.name + ","])
        ]
        assert workflow.purpose in line and " or ".join(workflow.media) in line and workflow.form in line
