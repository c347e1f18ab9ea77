"""`cosmos3 ask --workflows`: the table of workflows in the terminal."""

from __future__ import annotations

import sys

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# The width of lines that go to a file or another program.
WIDTH = 160


def print_workflows(asked: bool) -> None:
    """Print the table and end the command, where it was asked for."""
    if not asked:
        return
    from cosmos3_core.workflows.table import WORKFLOWS

    table = Table(box=SIMPLE_HEAD)
    for name in ("workflow", "about", "reasons", "answers with", "what it is for"):
        table.add_column(name, no_wrap=name in ("workflow", "about"))
    for workflow in WORKFLOWS.values():
        names = ", ".join((workflow.name, *workflow.aliases))
        about, reasons = " or ".join(workflow.media), "yes" if workflow.reasons else "no"
        table.add_row(names, about, reasons, workflow.form.value, workflow.purpose)
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(table)
    raise typer.Exit
