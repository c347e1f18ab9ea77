"""What sharing a forward pass gains: both guidance branches of a request, and several requests of one geometry.

A random mid-size model in one process, each pair in turns. It is the measurement behind the defaults of
`batch_guidance` (on: small shapes gain, large ones lose little) and `batch_tasks` (1: what it gains is small, and a
shared pass differs in the last bit).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.environment import describe
from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.modes import Mode
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.tiny.checkpoint import write_checkpoint
from cosmos3_core.tiny.configs import MID

SHAPES = {"image 320x192": (Mode.TEXT_TO_IMAGE, 1), "17 frames of 320x192": (Mode.TEXT_TO_VIDEO, 17)}
TASKS = 8
console = Console(stderr=True)


def in_turns(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call; they take turns, after one round that does not count."""
    taken: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 1):
        for call, seconds in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call()
            if round_:
                seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in taken]


def measured(pipeline: LocalPipeline, mode: Mode, frames: int, repeats: int) -> dict[str, Any]:
    """Steps of one shape."""
    together = pipeline.denoiser
    apart = Denoiser(together.tower, together.report, replace(together.settings, batch_guidance=False))
    fields: dict[str, Any] = {"num_frames": frames} if frames > 1 else {}
    request = GenerationRequest(
        mode=mode,
        prompt="a robot arm " * 60,
        width=320,
        height=192,
        num_inference_steps=200,
        guidance_scale=6.0,
        **fields,
    )
    _, encoded = pipeline.encode(request)
    tasks = [together.start(encoded) for _ in range(TASKS)]
    alone = together.start(encoded)

    def one_by_one() -> None:
        for task in tasks:
            together.step(task)

    guided, split = in_turns(repeats, lambda: together.step(alone), lambda: apart.step(alone))
    shared, single = in_turns(max(2, repeats // 3), lambda: together.step_together(tasks), one_by_one)
    return {
        "guidance branches together, apart (ms)": [round(1e3 * guided, 1), round(1e3 * split, 1)],
        "gain": round(split / guided, 2),
        f"{TASKS} requests together, one by one (ms)": [round(1e3 * shared, 1), round(1e3 * single, 1)],
        "gain of requests": round(single / shared, 2),
    }


def main() -> None:
    """Measure, print, and write a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = write_checkpoint(Path(folder, "mid"), "nano", size=MID)
        pipeline = LocalPipeline.from_pretrained(root, device=arguments.device)
        results = {name: measured(pipeline, mode, frames, arguments.repeats) for name, (mode, frames) in SHAPES.items()}
    console.print_json(json.dumps(results))
    if arguments.output:
        arguments.output.write_text(json.dumps({"environment": describe(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
