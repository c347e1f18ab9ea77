"""`cosmos3 ask --workflow`: asks by a workflow, prints its typed answer and draws it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from deployments.cli.client import Client

if TYPE_CHECKING:
    from cosmos3_core.workflows.answers import Answer
    from cosmos3_core.workflows.medium import Medium

UNREADABLE_STATUS = 3
notes = Console(stderr=True, highlight=False, markup=False)


@dataclass(frozen=True)
class AnswerOptions:
    """What to do with the answer.

    Attributes:
        annotate: the file to draw it into.
        as_json: whether standard output gets the typed answer as JSON and nothing else.
        reasons: whether the model reasons first; None for the workflow's own choice.
        max_tokens: length of the answer; None for the sampling's own.
    """

    annotate: Path | None = None
    as_json: bool = False
    reasons: bool | None = None
    max_tokens: int | None = None


def ask_workflow(client: Client, name: str, media: Path, question: str | None, options: AnswerOptions) -> None:
    """Ask, print, draw.

    Raises:
        RequestError: no such workflow, a medium of the wrong kind, no question, or a picture that cannot be written.
        MediaError: the file cannot be decoded.
        ServerError: the server refuses, fails or cannot be reached.
        Exit: with status 3, where the answer cannot be read; its text and the reason have been printed.
    """
    from cosmos3_core.outputs import check_image_output
    from cosmos3_core.workflows.chat import chat_body
    from cosmos3_core.workflows.medium import read_medium
    from cosmos3_core.workflows.parsing import parse_answer
    from cosmos3_core.workflows.table import find_workflow

    workflow = find_workflow(name)
    if options.annotate is not None:
        check_image_output(options.annotate, "annotate")
    medium = read_medium(media)
    body = chat_body(workflow, question, medium, reasons=options.reasons, max_tokens=options.max_tokens)
    pieces: list[str] = []
    ended = client.chat(body, pieces.append if options.as_json else lambda text: _shown(text, pieces))
    answer = parse_answer(workflow, "".join(pieces), medium)
    _print(answer, options.as_json)
    if ended == "length":
        notes.print(
            f"the answer was cut off after {body['max_tokens']} tokens; --max-tokens allows more", soft_wrap=True
        )
    if answer.result.kind == "unreadable":
        raise typer.Exit(UNREADABLE_STATUS)
    if options.annotate is not None:
        _draw(options.annotate, medium, answer)


def _shown(text: str, pieces: list[str]) -> None:
    pieces.append(text)
    print(text, end="", flush=True)


def _print(answer: Answer, as_json: bool) -> None:
    from cosmos3_core.workflows.summary import summary_lines

    if as_json:
        print(answer.model_dump_json(indent=2))
    else:
        print()
    if answer.result.kind == "unreadable":
        notes.print(f"the answer cannot be read: {answer.result.reason}", soft_wrap=True)
    elif not as_json and answer.result.kind != "caption":
        print("", *summary_lines(answer.result), sep="\n")


def _draw(path: Path, medium: Medium, answer: Answer) -> None:
    from cosmos3_core.outputs import write_image
    from cosmos3_core.workflows.annotate import annotated

    write_image(path, annotated(medium, answer.result))
    notes.print(f"drawn into {path}", soft_wrap=True)
