"""Items one after the other, within the deadline: each is run, skipped, or fails without ending the run."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmarks.gpu.deadline import Clock, TimeUp, alarm
from benchmarks.gpu.results import ItemResult, Report, Status

# Estimates are rough; an item that takes much longer must leave the others their time.
PATIENCE = 3.0
TRACEBACK_LINES = 12
Context = TypeVar("Context")


class UnavailableError(Exception):
    """An item cannot be measured here; it counts as skipped, with the message as the reason."""


@dataclass(frozen=True)
class Item(Generic[Context]):
    """Something to measure.

    Attributes:
        id: its name in the results file and on the command line.
        title: what it measures.
        estimate_s: seconds that it takes; it is skipped where less time is left.
        measure: takes the context and fills in the result; raises `UnavailableError` where there is nothing to measure.
    """

    id: str
    title: str
    estimate_s: float
    measure: Callable[[Context, ItemResult], None]

    def result(self) -> ItemResult:
        """The result of this item before it ran."""
        return ItemResult(self.id, self.title, self.estimate_s)


def run_items(
    items: Sequence[Item[Context]],
    context: Context,
    report: Report,
    clock: Clock,
    changed: Callable[[ItemResult], None],
) -> None:
    """Run the items in their order.

    Args:
        items: what to measure; `report.items` are their results.
        context: what every item is given.
        report: takes the results.
        clock: the time that is left.
        changed: called with every result whose status has changed.
    """
    for item, result in zip(items, report.items, strict=True):
        if result.status is Status.PENDING:
            reason = _too_late(item, clock.left())
            if reason:
                result.status, result.reason = Status.SKIPPED, reason
            else:
                result.status = Status.RUNNING
                changed(result)
                _run(item, context, result, clock)
        changed(result)


def _too_late(item: Item[Context], left: float) -> str:
    if item.estimate_s <= left:
        return ""
    return f"takes about {item.estimate_s:g} s, and {max(left, 0.0):.1f} s are left"


def _run(item: Item[Context], context: Context, result: ItemResult, clock: Clock) -> None:
    started = clock.elapsed()
    try:
        with alarm(min(clock.left(), PATIENCE * item.estimate_s)):
            item.measure(context, result)
        result.status = Status.DONE
    except UnavailableError as error:
        result.status, result.reason = Status.SKIPPED, str(error)
    except (Exception, TimeUp) as error:
        result.status, result.reason = Status.FAILED, f"{type(error).__name__}: {error}"
        result.notes["traceback"] = traceback.format_exc().splitlines()[-TRACEBACK_LINES:]
    result.seconds = round(clock.elapsed() - started, 3)
