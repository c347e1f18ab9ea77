"""The largest kernels of a piece of work; on a CPU its largest operators."""

from __future__ import annotations

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.results import Kernel

LARGEST = 25
NAME_LENGTH = 160


def kernels_of(bench: Bench, call: Callable[[], object]) -> list[Kernel]:
    """Every kernel that a call launches, largest first."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.cuda else [])
    with profile(activities=activities) as profiled:
        call()
        bench.synchronize()
    wanted = "CUDA" if bench.cuda else "CPU"
    found = []
    for event in profiled.key_averages():
        microseconds = event.self_device_time_total if bench.cuda else event.self_cpu_time_total
        if event.device_type.name == wanted and microseconds > 0:
            found.append(Kernel(event.key[:NAME_LENGTH], event.count, microseconds / 1e6))
    return sorted(found, key=lambda kernel: -kernel.seconds)
