"""The `cosmos3` command: serve, generate, ask, plan, make a tiny checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from cosmos3_core.errors import CosmosError
from cosmos3_core.tiny import TinyMember
from deployments.cli.ask import ask
from deployments.cli.generate import generate
from deployments.cli.plan import plan
from deployments.cli.serve import serve

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Serve and run NVIDIA Cosmos 3.")
console = Console(stderr=True)


@app.command()
def tiny(
    out: Annotated[Path, typer.Argument(help="Folder to write; must be empty or absent.")],
    member: Annotated[TinyMember, typer.Option(help="Which member of the family it imitates.")] = "nano",
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the tokenizer's text.")] = 0,
) -> None:
    """Write a tiny checkpoint with random weights in the published folder layout."""
    from cosmos3_core.tiny.checkpoint import write_checkpoint

    with console.status(f"writing a tiny {member} checkpoint"):
        write_checkpoint(out, member, seed)
    print(out)


app.command()(serve)
app.command()(generate)
app.command()(ask)
app.command()(plan)


def main() -> None:
    """Entry point: an expected error is printed as a sentence and ends with status 2, without a traceback."""
    try:
        app()
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "request"
            console.print(f"[red]error:[/red] {escape(field)}: {escape(problem['msg'])}", highlight=False)
        sys.exit(2)
    except (CosmosError, FileExistsError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
