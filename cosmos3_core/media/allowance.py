"""What decoding may cost. Readers say how many pixels or samples they made, or are about to make; a process that
decodes for others grants itself time by these numbers, so that a file that makes nothing cannot run for long.
"""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[int], None]] = []


def on_work(listener: Callable[[int], None]) -> None:
    """Call a function with the pixels or samples of each piece of work, from now on, in this process."""
    _listeners.append(listener)


def announce(values: int) -> None:
    """Say that so many pixels or samples were made or are about to be made."""
    for listener in _listeners:
        listener(values)
