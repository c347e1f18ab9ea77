"""Waiting for the graph's own figures."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployments.client import Client

Figures = dict[str, float]


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
