"""`cosmos3 ask`: a question to a running server about an image or a video, as free text or by one of the workflows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.client import Client
from deployments.cli.workflow_answer import AnswerOptions, ask_workflow
from deployments.cli.workflow_list import print_workflows

MAX_TOKENS = 512
"""Length of an answer that no workflow decides."""


def ask(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MEDIA] [QUESTION]",
            help="An image or video file, then the question; some workflows bring a question of their own.",
        ),
    ],
    workflow: Annotated[str | None, typer.Option(help="Ask for an answer of a known form; see --workflows.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Draw the answer of a workflow into this .png, .jpg or .webp file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer of a workflow as JSON, nothing else.")
    ] = False,
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Reason before answering; a workflow has its own default.")
    ] = None,
    url: Annotated[str, typer.Option(help="Of the server.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="COSMOS3_API_KEY", help="For a server that wants one.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help=f"Length of the answer; {MAX_TOKENS} without a workflow.")
    ] = None,
    workflows: Annotated[
        bool, typer.Option("--workflows", callback=print_workflows, is_eager=True, help="List the workflows and exit.")
    ] = False,
) -> None:
    """Ask the Reasoner of a running server; the answer appears as it is written.

    With --workflow the status is 3 where the answer is not of the form that was asked for.
    """
    asked = _asked(words, with_workflow=workflow is not None)
    if workflow is None:
        _refuse_all({"--annotate": annotate is not None, "--json": as_json, "--think": think is not None})
    with closing(Client(url, api_key)) as client:
        if workflow is None:
            _ask_freely(client, asked, max_tokens or MAX_TOKENS)
        else:
            assert asked.media is not None
            options = AnswerOptions(annotate=annotate, as_json=as_json, reasons=think, max_tokens=max_tokens)
            ask_workflow(client, workflow, asked.media, asked.question, options)


def _refuse_all(given: dict[str, bool]) -> None:
    """Refuse the options that only a workflow has a use for.

    Raises:
        BadParameter: one of them is given.
    """
    for option, is_given in given.items():
        if is_given:
            raise typer.BadParameter("needs --workflow; --workflows lists them", param_hint=option)


@dataclass(frozen=True)
class _Asked:
    """The words of the command line: a file, a question, or both."""

    media: Path | None
    question: str | None


def _asked(words: list[str], with_workflow: bool) -> _Asked:
    """Tell the file from the question. A single word is a question, or with a workflow a file.

    Raises:
        BadParameter: more words than two, no file, or a file that is not there.
    """
    if len(words) > 2:
        raise typer.BadParameter("expected at most one file and one question in quotes", param_hint="QUESTION")
    alone = len(words) == 1
    media = None if alone and not with_workflow else Path(words[0])
    if media is not None and not media.is_file():
        hint = "; with --workflow the first word is a file" if with_workflow else ""
        raise typer.BadParameter(f"there is no file {media}{hint}", param_hint="MEDIA")
    return _Asked(media, None if alone and with_workflow else words[-1])


def _ask_freely(client: Client, asked: _Asked, max_tokens: int) -> None:
    from cosmos3_core.workflows.chat import user_message, video_fields
    from cosmos3_core.workflows.medium import read_medium

    medium = None if asked.media is None else read_medium(asked.media)
    message = user_message(asked.question or "", medium)
    body = {"messages": [message], "max_tokens": max_tokens, **video_fields(medium)}
    client.chat(body, lambda text: print(text, end="", flush=True))
    print()
