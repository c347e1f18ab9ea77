"""How far bf16 is from fp32, ours and diffusers': one layer for a step, the whole tower for a few steps."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from benchmarks.gpu import ours
from benchmarks.gpu.bench import Bench, Prompts
from benchmarks.gpu.errors import relative_error
from benchmarks.gpu.peer import Peer
from benchmarks.gpu.results import ItemResult
from benchmarks.gpu.sizes import Shape
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import Modality

# Ours may be so many times as far from fp32 as diffusers is.
BOUND = 1.2
STEPS = 4
SHORTER = 8


def measure(bench: Bench, result: ItemResult) -> None:
    """Errors of one step of one layer, with diffusers in fp32 as well, and of a short run of the whole tower."""
    config, image = bench.size.config, bench.size.shapes["t2i"]
    one_layer, one_step = replace(config, num_hidden_layers=1), replace(image, schedule_steps=1)
    exact = _ours(bench, one_layer, one_step, fp32=True)
    same = relative_error(_peers(bench, one_layer, one_step, fp32=True), exact)
    result.notes["one layer"] = _compared(bench, one_layer, one_step, exact) | {"diffusers in fp32": same}
    short = replace(image, schedule_steps=STEPS)
    exact = _ours(bench, config, short, fp32=True)
    result.notes[f"{STEPS} steps"] = _compared(bench, config, short, exact)


def _prompts(bench: Bench) -> Prompts:
    """Prompts of other lengths than those of the later items, whose first steps are to be cold."""
    return bench.prompts([length - SHORTER for length in bench.size.text_tokens])


def _compared(bench: Bench, config: TransformerConfig, shape: Shape, exact: Tensor) -> dict[str, float | bool]:
    """Errors of both in bf16."""
    mine = relative_error(_ours(bench, config, shape), exact)
    theirs = relative_error(_peers(bench, config, shape), exact)
    return {
        "ours": mine,
        "diffusers": theirs,
        "ours_over_peer": mine / theirs,
        "bound": BOUND,
        "within bound": mine <= BOUND * theirs,
    }


def _ours(bench: Bench, config: TransformerConfig, shape: Shape, fp32: bool = False) -> Tensor:
    """Our latents at the end of the schedule, text included."""
    texts = ours.prefill(ours.understanding(config, bench.tensors, fp32), _prompts(bench))
    denoiser = ours.denoiser(config, bench.tensors, bench.device, fp32)
    task = denoiser.start(ours.encoded_request(config, shape, texts, bench.device))
    while not task.done:
        denoiser.step(task)
    return task.state.latents[Modality.VISION]


def _peers(bench: Bench, config: TransformerConfig, shape: Shape, fp32: bool = False) -> Tensor:
    """diffusers' latents at the end of the schedule."""
    peer = Peer(config, bench.tensors, bench.device, fp32)
    task = peer.start(shape, _prompts(bench))
    for _ in range(shape.schedule_steps):
        peer.step(task)
    return task.latents[0]
