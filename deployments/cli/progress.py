"""A progress bar for a generation, fed by its events."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from cosmos3_core.request import Event, Started, Step


class GenerationProgress:
    """Shows the stage that runs, and step k of n with the seconds left while denoising."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("waiting", total=None, left="")

    def __enter__(self) -> GenerationProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_event(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Started):
            self._bar.update(self._task, description=event.stage, left="")
        elif isinstance(event, Step):
            left = f"{event.seconds_left:.0f} s left" if event.index < event.count else ""
            self._bar.update(self._task, total=event.count, completed=event.index, left=left)
