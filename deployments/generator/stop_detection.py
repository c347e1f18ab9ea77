"""Detecting that Serve is about to stop this replica.

Serve does not tell a replica before it stops it. But it asks each replica for its health and its figures about twice a
second, and it no longer asks one that it means to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SILENCE_S = 5.0


class StopDetector:
    """Expects a stop when Serve has been silent for a while.

    Attributes:
        last_contact: when Serve last asked for something, by the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.last_contact = clock()

    def record_contact(self) -> None:
        """Serve has asked for something."""
        self.last_contact = self._clock()

    @property
    def stop_expected(self) -> bool:
        """Whether Serve has been silent for so long that a stop is near."""
        return self._clock() - self.last_contact >= SILENCE_S
