"""`cosmos3 ask`: a question to a running server, with or without an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.client import Client


def ask(
    words: Annotated[list[str], typer.Argument(metavar="[IMAGE] QUESTION", help="An image file, then the question.")],
    url: Annotated[str, typer.Option(help="Of the server.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="COSMOS3_API_KEY", help="For a server that wants one.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of the answer.")] = 512,
) -> None:
    """Ask the Reasoner of a running server; the answer appears as it is written."""
    *images, question = words
    if len(images) > 1:
        raise typer.BadParameter("expected at most one image and one question in quotes", param_hint="QUESTION")
    image = Path(images[0]) if images else None
    if image is not None and not image.is_file():
        raise typer.BadParameter(f"there is no file {image}", param_hint="IMAGE")
    client = Client(url, api_key)
    try:
        client.ask(question, image, max_tokens, lambda text: print(text, end="", flush=True))
    finally:
        client.close()
    print()
