"""Timers: one call on the clock of the host, and a short kernel by the device's events."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.gpu.bench import Bench

AT_LEAST, AT_MOST = 3, 50


def seconds_of(bench: Bench, call: Callable[[], object]) -> float:
    """Wall seconds of one call until the device has done its work."""
    bench.synchronize()
    started = time.perf_counter()
    call()
    bench.synchronize()
    return time.perf_counter() - started


def repeated(bench: Bench, *calls: Callable[[], object]) -> list[float]:
    """Seconds of each of many repeats, after two that do not count.

    Args:
        bench: says for how long to repeat.
        calls: equal work on different data, in turns, so that no cache keeps what a call reads.
    """
    calls[0]()
    once = seconds_of(bench, calls[-1])
    count = min(max(AT_LEAST, math.ceil(bench.size.repeat_s / once)), AT_MOST)
    turns = list(itertools.islice(itertools.cycle(calls), count))
    return _by_events(turns) if bench.cuda else [seconds_of(bench, call) for call in turns]


def _by_events(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds on the device; everything is enqueued first, so that launches overlap with work."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
    events[0].record()
    for call, event in zip(calls, events[1:], strict=True):
        call()
        event.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) / 1e3 for before, after in itertools.pairwise(events)]
