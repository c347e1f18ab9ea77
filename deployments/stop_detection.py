"""Detecting that Serve is about to stop this replica.

Serve does not tell a replica before it stops it. But it asks each replica for its health every other second, and a
Generator for its figures twice a second, and it no longer asks one that it is about to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class StopDetector:
    """Expects a stop when Serve has been silent for a while.

    Attributes:
        silence_s: how many seconds of silence mean a stop.
        last_contact: when Serve last asked for something, by the clock.
    """

    def __init__(self, silence_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.silence_s = silence_s
        self._clock = clock
        self.last_contact = clock()

    def record_contact(self) -> None:
        """Serve has asked for something."""
        self.last_contact = self._clock()

    @property
    def stop_expected(self) -> bool:
        """Whether Serve has been silent for so long that a stop is near."""
        return self._clock() - self.last_contact >= self.silence_s
