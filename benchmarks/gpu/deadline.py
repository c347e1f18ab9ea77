"""Time that a run has: how much is left, and an alarm that ends an item which takes too long."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeUp(BaseException):
    """An item took longer than it may. Like `KeyboardInterrupt` it passes through `except Exception`."""


class Clock:
    """Seconds since the start of the run, and until its deadline."""

    def __init__(self, deadline_s: float, started: float | None = None) -> None:
        self.deadline_s = deadline_s
        self._started = time.monotonic() if started is None else started

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline_s - self.elapsed()


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in the block after some seconds, as soon as Python runs again; main thread only."""

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeUp(f"stopped after {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
