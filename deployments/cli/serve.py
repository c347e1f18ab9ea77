"""`cosmos3 serve`: a recipe as a local graph in the foreground, with the state of its stages while it starts.

The graph ends with the terminal. For a cluster, give the recipe to `serve deploy` or KubeRay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deployments.local.launch import Launch, RunningGraph, running_graph
from deployments.local.ports import free_port
from deployments.local.recipes import find_recipe, front_application, load_recipe, override
from deployments.local.status import DeploymentStatus, GraphStatus

REMINDER_SECONDS = 60.0
INTERRUPTED = 130
TERMINATED = 143

console = Console(stderr=True)


def serve(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, such as tiny-cpu, or a Serve config in YAML.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; without it the recipe's, else 127.0.0.1.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for jobs and media; without it one in the user's data.")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs that Ray schedules by; without it the machine's.")
    ] = None,
    object_store: Annotated[int | None, typer.Option(min=128, help="Ray's object store, in MiB.")] = None,
    log: Annotated[Path | None, typer.Option(help="File for the output of all processes.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until the graph is ready.")] = 1800.0,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Start Ray's dashboard.")] = False,
) -> None:
    """Serve a recipe on this machine until Ctrl-C."""
    # A shell lets what a script starts in the background ignore SIGINT, and Python leaves it at that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        config = _configure(recipe, port, host, data)
        launch = Launch(config, cpus, dashboard, None if object_store is None else object_store * 1024**2, log)
        with running_graph(launch) as graph:
            _serve(graph, timeout)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _serve(graph: RunningGraph, timeout: float) -> NoReturn:
    try:
        console.print(f"starting; log: {graph.log}", soft_wrap=True)
        progress = StartProgress(console)
        with Live(progress, console=console, refresh_per_second=4) if console.is_terminal else nullcontext():
            graph.wait_ready(timeout, progress.update)
        console.print(f"serving after {progress.elapsed:.0f} s; Ctrl-C ends it. Try:\n  curl {graph.url}/v1/models")
        print(graph.url, flush=True)
        shown = graph.status()
        while True:
            graph.check()
            before, shown = shown, graph.status()
            for line in stage_changes(before, shown):
                console.print(f"{progress.elapsed:5.0f} s  {line}", soft_wrap=True, markup=False, highlight=False)
            time.sleep(0.5)
    except (KeyboardInterrupt, SystemExit):
        console.print("stopping ...")
        raise


class StartProgress:
    """The stages of a graph while it starts: a table on a terminal; elsewhere a line for each change.

    Where nothing changes for a while, a line says once a minute what is still awaited.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._start = clock()
        self._status = GraphStatus()
        self._line = ""
        self._changed = self._printed = self._start
        self._healthy: dict[tuple[str, str], float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def update(self, status: GraphStatus) -> None:
        """Show a status."""
        self._status = status
        for application, deployment in _deployments(status):
            if deployment.healthy:
                self._healthy.setdefault((application, deployment.name), self.elapsed)
        if not self._console.is_terminal:
            self._print_line()

    def __rich__(self) -> RenderableType:
        """The table, or only the phase while Ray and Serve start and no stages exist."""
        title = f"{self._status.phase}  {self.elapsed:.0f} s"
        stages = _deployments(self._status)
        if not stages:
            return Text(title)
        table = Table(box=None, pad_edge=False, title=title, title_justify="left")
        for heading in ("application", "deployment", "status", "replicas", "seconds", ""):
            table.add_column(heading, justify="right" if heading == "seconds" else "left", no_wrap=True)
        for application, deployment in stages:
            seconds = self._healthy.get((application, deployment.name))
            style = "green" if seconds is not None else "yellow"
            table.add_row(
                application,
                deployment.name,
                Text(deployment.status, style=style),
                _replicas(deployment),
                f"{self.elapsed if seconds is None else seconds:.0f}",
                Text(deployment.message.partition("\n")[0], overflow="ellipsis", style="dim"),
            )
        return table

    def _print_line(self) -> None:
        stages = (f"{name}/{each.name} {each.status} {_replicas(each)}" for name, each in _deployments(self._status))
        line, now = f"{self._status.phase}: {', '.join(stages)}".rstrip(": "), self._clock()
        if line != self._line:
            self._line, self._changed = line, now
        elif now - self._printed >= REMINDER_SECONDS:
            line = f"still {self._status.phase}, unchanged for {now - self._changed:.0f} s{self._awaited()}"
        else:
            return
        self._printed = now
        self._console.print(f"{self.elapsed:5.0f} s  {line}", soft_wrap=True, markup=False, highlight=False)

    def _awaited(self) -> str:
        stages = ", ".join(f"{name}/{each.name}" for name, each in _deployments(self._status) if not each.healthy)
        return f"; waiting for {stages}" if stages else ""


def stage_changes(before: GraphStatus, after: GraphStatus) -> list[str]:
    """A line for each stage of a serving graph that is not what it was: it died, came back, grew or shrank."""
    known = {(application, stage.name): stage for application, stage in _deployments(before)}
    changed = [(name, stage) for name, stage in _deployments(after) if known.get((name, stage.name)) != stage]
    # Of a message only its first line: Serve appends tracebacks.
    told = (
        (f"{name}/{stage.name}", stage.status, _replicas(stage), *stage.message.split("\n")[:1])
        for name, stage in changed
    )
    return [" ".join(filter(None, words)) for words in told]


def default_data_folder(recipe: Path, port: int) -> Path:
    """The folder for a recipe's jobs and media, unless the caller or the recipe names another one."""
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification says to ignore a relative path.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return root / "cosmos3" / f"{recipe.stem}-{port}"


def _configure(recipe: str, port: int, host: str | None, data: Path | None) -> dict[str, Any]:
    path = find_recipe(recipe)
    config = override(load_recipe(path), host=host)
    port = port or free_port(config["http_options"]["host"])
    front = front_application(config)
    if data is None and front is not None and "data" not in (front.get("args") or {}):
        data = default_data_folder(path, port)
    return override(config, port=port, data=None if data is None else data.expanduser().absolute())


def _deployments(status: GraphStatus) -> list[tuple[str, DeploymentStatus]]:
    return [
        (application.name, deployment) for application in status.applications for deployment in application.deployments
    ]


def _replicas(deployment: DeploymentStatus) -> str:
    return " ".join(f"{count} {state.lower()}" for state, count in deployment.replicas.items())


def _terminate(*_: object) -> None:
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    typer.run(serve)
