"""`LocalPipeline` against diffusers' `Cosmos3OmniPipeline`: one process, same weights, same request, interleaved.

A random mid-size model on the CPU in fp32: an image and 17 frames at 320x192, a 600-token prompt, an empty negative
prompt, guidance 6, VAE decoding included. Reported are medians and their ratio, and that both made the same latents.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import Cosmos3OmniPipeline
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe
from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.model.layout import Modality
from cosmos3_core.modes import Mode
from cosmos3_core.tiny.checkpoint import write_checkpoint
from cosmos3_core.tiny.configs import MID

WIDTH, HEIGHT, FPS, GUIDANCE, SEED = 320, 192, 24.0, 6.0, 0
PROMPT_TOKENS = 600
console = Console(stderr=True)


@dataclass(frozen=True)
class Workload:
    """One comparison and the ratio it should reach."""

    name: str
    frames: int
    steps: int
    repeats: int
    target: float


WORKLOADS = (
    Workload("image, 6 steps", 1, 6, 7, 2.5),
    Workload("image, 35 steps", 1, 35, 5, 4.0),
    Workload("17 frames, 6 steps", 17, 6, 5, 1.4),
    Workload("17 frames, 35 steps", 17, 35, 3, 1.9),
)


def prompt_of(tokenizer: Any, tokens: int) -> str:
    """Words that make a prompt of about so many tokens."""
    words = [
        "a",
        "robot",
        "arm",
        "pours",
        "water",
        "from",
        "a",
        "glass",
        "jar",
        "into",
        "a",
        "cup",
        "on",
        "the",
        "wooden",
        "table",
        "while",
        "the",
        "camera",
        "moves",
    ]
    text: list[str] = []
    while len(tokenizer.encode(" ".join(text))) < tokens:
        text.append(words[len(text) % len(words)])
    return " ".join(text)


def request_of(work: Workload, prompt: str) -> GenerationRequest:
    """The request with diffusers' own conventions, so that both do the same work."""
    return GenerationRequest(
        mode=Mode.TEXT_TO_IMAGE if work.frames == 1 else Mode.TEXT_TO_VIDEO,
        prompt=prompt,
        width=WIDTH,
        height=HEIGHT,
        num_frames=work.frames,
        fps=FPS,
        num_inference_steps=work.steps,
        guidance_scale=GUIDANCE,
        seed=SEED,
        preset="diffusers",
    )


def run_reference(pipeline: Any, work: Workload, prompt: str) -> torch.Tensor:
    """diffusers end to end; returns the final latents."""
    captured: dict[str, torch.Tensor] = {}

    def keep(_: Any, __: int, ___: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        captured["latents"] = tensors["latents"]
        return tensors

    pipeline(
        prompt,
        width=WIDTH,
        height=HEIGHT,
        num_frames=work.frames,
        fps=FPS,
        num_inference_steps=work.steps,
        guidance_scale=GUIDANCE,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="np",
        callback_on_step_end=keep,
    )
    return captured["latents"][0]


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Seconds and result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(ours: LocalPipeline, reference: Any, work: Workload, prompt: str) -> dict[str, Any]:
    """Interleaved repeats of both, after one unmeasured run of each."""
    request = request_of(work, prompt)
    stages: list[dict[str, float]] = []

    def run_ours() -> torch.Tensor:
        # A prompt seen before would skip its prefill; every measured run pays for it.
        ours.encoder.understanding.cache.clear()
        result = ours.generate(request)
        stages.append(result.seconds)
        return result.latents[Modality.VISION]

    mine, theirs = run_ours(), run_reference(reference, work, prompt)
    error = float((mine - theirs).norm() / theirs.norm())
    stages.clear()
    seconds: dict[str, list[float]] = {"ours": [], "diffusers": []}
    for repeat in range(work.repeats):
        seconds["ours"].append(timed(run_ours)[0])
        seconds["diffusers"].append(timed(lambda: run_reference(reference, work, prompt))[0])
        console.print(f"  {work.name}: {repeat + 1} of {work.repeats}")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        **asdict(work),
        "seconds": seconds,
        "median": medians,
        "ratio": medians["diffusers"] / medians["ours"],
        "stage_medians": {stage: statistics.median(s[stage] for s in stages) for stage in stages[0]},
        "relative_error_of_latents": error,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    table = Table("workload", "ours, s", "diffusers, s", "ratio", "target", "encode / denoise / decode, s", "error")
    for row in rows:
        stages = " / ".join(f"{row['stage_medians'][s]:.2f}" for s in ("encode", "denoise", "decode"))
        medians = row["median"]
        cells = [
            f"{medians['ours']:.2f}",
            f"{medians['diffusers']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['target']}",
        ]
        table.add_row(row["name"], *cells, stages, f"{row['relative_error_of_latents']:.1e}")
    Console().print(table)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = write_checkpoint(Path(folder) / "mid", "nano", size=MID)
        ours = LocalPipeline.from_pretrained(root, device="cpu", dtype="float32")
        reference = Cosmos3OmniPipeline.from_pretrained(str(root), dtype=torch.float32)
        reference.set_progress_bar_config(disable=True)
        prompt = prompt_of(ours.encoder.tokenizer, PROMPT_TOKENS)
        rows = [measure(ours, reference, work, prompt) for work in WORKLOADS]
    show(rows)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps({"environment": describe(), "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
