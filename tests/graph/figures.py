"""Waiting for the graph's own figures."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployments.cli.client import Client
from deployments.ingress.routes.metrics import FIGURES_AGE_S

Figures = dict[str, float]
STEPS = "cosmos3_generator_steps"
CANCELLED = "cosmos3_generator_cancelled"


def eventually(client: Client, wanted: Callable[[Figures], bool], timeout: float = 15.0) -> Figures:
    """The figures once they are as wanted; they are gathered at most once a second.

    Raises:
        AssertionError: they are not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        figures = client.figures()
        if wanted(figures):
            return figures
        assert time.monotonic() < deadline, figures
        time.sleep(0.2)


def idle(figures: Figures) -> bool:
    """Whether no generation runs or waits."""
    return figures["cosmos3_generator_queued_tasks"] == 0 == figures["cosmos3_jobs_unfinished"]


def settled(client: Client) -> Figures:
    """The figures of an idle graph, and not those of a moment ago."""
    time.sleep(FIGURES_AGE_S)
    return eventually(client, idle, timeout=60)


def steps_until_stopped(client: Client, before: Figures) -> float:
    """Steps made since `before` by a generation that nobody waits for any more, once the Generator is idle again.

    Raises:
        AssertionError: it goes on, or went on for more than a step after the Generator heard of it.
    """
    after = eventually(client, lambda f: idle(f) and f[CANCELLED] > before[CANCELLED], timeout=60)
    time.sleep(2)
    last = client.figures()
    assert last[STEPS] == after[STEPS]
    assert last["cosmos3_generator_steps_after_cancel_max"] <= 1
    return last[STEPS] - before[STEPS]
