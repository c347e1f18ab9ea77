"""The machine itself: how long imports take, what nvidia-smi says, and the ceilings of copies and products."""

from __future__ import annotations

import shutil
import subprocess
import time
from importlib import import_module
from typing import Any

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.results import ItemResult, Measurement
from benchmarks.gpu.timing import repeated

IMPORTS = ("transformers", "diffusers.models", "cosmos3_core.stages.denoiser")
QUERIES = ("name", "driver_version", "memory.total", "memory.used", "power.limit", "temperature.gpu")
CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm")


def measure(bench: Bench, result: ItemResult) -> None:
    """Imports, the card, a large copy and a large product."""
    for module in IMPORTS:
        started = time.perf_counter()
        try:
            import_module(module)
        except ImportError as error:
            result.omitted[f"import {module}"] = str(error)
            continue
        result.measurements.append(Measurement(f"import {module}", [time.perf_counter() - started]))
    bench.report.card = _card(result)
    if bench.cuda:
        result.notes |= _device(bench)
    _copy(bench, result)
    _product(bench, result)


def _card(result: ItemResult) -> dict[str, str]:
    """What nvidia-smi says about the first card."""
    program = shutil.which("nvidia-smi")
    if program is None:
        result.omitted["nvidia-smi"] = "there is no such program here"
        return {}
    names = (*QUERIES, *CLOCKS)
    command = [program, f"--query-gpu={','.join(names)}", "--format=csv,noheader", "--id=0"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode:
        result.omitted["nvidia-smi"] = answer.stdout.strip() or answer.stderr.strip()
        return {}
    return dict(zip(names, answer.stdout.strip().split(", "), strict=False))


def _device(bench: Bench) -> dict[str, Any]:
    """What torch says about the card and the libraries under it."""
    properties = torch.cuda.get_device_properties(bench.device)
    return {
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "capability": list(torch.cuda.get_device_capability(bench.device)),
        "multiprocessors": properties.multi_processor_count,
        "L2, bytes": properties.L2_cache_size,
        "memory, bytes": properties.total_memory,
    }


def _copy(bench: Bench, result: ItemResult) -> None:
    source = torch.empty(bench.size.copied_bytes, dtype=torch.uint8, device=bench.device).random_()
    target = torch.empty_like(source)
    moved = 2 * source.nbytes
    result.measurements.append(
        Measurement(
            f"copy of {source.nbytes / 1e9:.3g} GB, read and written",
            repeated(bench, lambda: target.copy_(source)),
            prediction_s=moved / bench.hardware.bytes_per_second,
            bytes_moved=moved,
        )
    )


def _product(bench: Bench, result: ItemResult) -> None:
    side = bench.size.product_side
    left, right = (torch.randn(side, side, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    flops = 2.0 * side**3
    result.measurements.append(
        Measurement(
            f"bf16 product of {side} x {side} x {side}",
            repeated(bench, lambda: left @ right),
            prediction_s=flops / (bench.hardware.flops_per_second * bench.hardware.product_efficiency),
            flops=flops,
        )
    )
