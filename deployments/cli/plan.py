"""`cosmos3 plan`: how to place a checkpoint on some cards, with the memory and time to expect. It works offline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cosmos3_core.planning.placement import GENERATOR, Card, Memory, Share
from cosmos3_core.planning.plan import Forecast, Plan, largest_request, plan_for
from cosmos3_core.planning.published import Workload

# The width of lines that go to a file or another program.
WIDTH = 120


def plan(
    checkpoint: Annotated[str, typer.Option(help="A published checkpoint, such as nvidia/Cosmos3-Nano.")],
    gpus: Annotated[int, typer.Option(help="Number of cards.")],
    gpu: Annotated[str, typer.Option(help="Their kind, such as h100-80gb, h200-141gb or b200-180gb.")],
    objective: Annotated[
        str, typer.Option(help="latency: one video soon; throughput: many videos an hour.")
    ] = "latency",
    reasoner: Annotated[bool, typer.Option("--reasoner/--no-reasoner", help="Whether the model chats as well.")] = True,
) -> None:
    """Plan which cards the stages of a checkpoint get, and what to expect of them."""
    found = plan_for(checkpoint, gpu, gpus, objective, reasoner)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(_headline(found), soft_wrap=True)
    console.print(_memory(found))
    console.print(_seconds(found))
    console.print("Under `generator:` in a recipe:")
    for line in generator_settings(found):
        console.print(f"  {line}", soft_wrap=True)
    for note in found.notes:
        console.print(f"- {note}")


def generator_settings(plan: Plan) -> list[str]:
    """Lines of YAML for the Generator's settings."""
    rank = plan.cards[0].shares[0]
    degrees = plan.degrees
    return [
        f"parallel: {{tp: {degrees.tp}, cfg: {degrees.cfg}, ulysses: {degrees.ulysses}}}",
        f"rank_resources: {{CPU: 1, GPU: {rank.fraction:g}}}",
        "batch_guidance: false",
        f"key_value_bytes: {rank.memory.key_values}",
        f"resident_bytes: {rank.memory.tasks}",
    ]


def _headline(plan: Plan) -> str:
    size = plan.degrees.world_size
    gangs = "one gang" if plan.gangs == 1 else f"{plan.gangs} gangs"
    ranks = "one rank" if size == 1 else f"{size} ranks ({plan.degrees})"
    return f"{plan.entry.id} on {len(plan.cards)} x {plan.hardware.name}, for {plan.objective}: {gangs} of {ranks}"


def _memory(plan: Plan) -> Table:
    largest = largest_request(plan.entry)
    table = Table(
        title=f"GB for requests of up to {largest.canvas.width}x{largest.canvas.height}{_frames(largest)}",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("card")
    table.add_column("stage")
    for name in ("num_gpus", "weights", "keys, values", "tasks", "activations", "context", "sum"):
        table.add_column(name, justify="right")
    for label, card in _alike(plan.cards):
        used = f"{card.used_bytes / 1e9:.1f} of {plan.hardware.memory_bytes / 1e9:.0f}"
        for share in card.shares:
            last = used if len(card.shares) == 1 else f"{share.memory.total / 1e9:.1f}"
            table.add_row(label, _stage(plan, share), f"{share.fraction:g}", *_gigabytes(share.memory), last)
            label = ""
        if len(card.shares) != 1:
            table.add_row(label, "together" if card.shares else "nothing", *[""] * 6, used)
        table.add_section()
    return table


def _frames(largest: Workload) -> str:
    return f" and {largest.frames} frames" if largest.frames > 1 else ""


def _alike(cards: tuple[Card, ...]) -> Iterator[tuple[str, Card]]:
    """The first card of each run of cards that hold the same, labelled with the run's numbers, counted from 1."""
    first = 0
    for index, card in enumerate(cards):
        following = cards[index + 1] if index + 1 < len(cards) else None
        if following is None or _contents(following) != _contents(card):
            yield (f"{first + 1}" if first == index else f"{first + 1} to {index + 1}"), card
            first = index + 1


def _contents(card: Card) -> list[tuple[str, float]]:
    return [(share.stage, share.fraction) for share in card.shares]


def _stage(plan: Plan, share: Share) -> str:
    return f"{share.stage}, a rank" if share.stage == GENERATOR and plan.degrees.world_size > 1 else share.stage


def _gigabytes(memory: Memory) -> Iterator[str]:
    for value in (memory.weights, memory.key_values, memory.tasks, memory.activations, memory.context):
        yield f"{value / 1e9:.1f}" if value else "-"


def _seconds(plan: Plan) -> Table:
    size = plan.degrees.world_size
    frames = largest_request(plan.entry).frames
    title = "Seconds from prompt to frames" + (f"; videos of {frames} frames" if frames > 1 else "")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("request", no_wrap=True)
    names = ["estimated", "published"]
    if size > 1:
        names = [f"{name} on {gpus}" for gpus in (size, 1) for name in names]
    for name in (*names, "an hour, at most"):
        table.add_column(name, justify="right")
    for forecast in plan.forecasts:
        workload = forecast.workload
        request = f"{workload.name}, {workload.steps} steps"
        table.add_row(request, *_columns(forecast, size), f"{forecast.per_hour:,.0f}")
    return table


def _columns(forecast: Forecast, size: int) -> Iterator[str]:
    yield f"{forecast.seconds:.1f}"
    yield _published(forecast.published)
    if size > 1:
        yield f"{forecast.alone:.1f}"
        yield _published(forecast.published_alone)


def _published(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
