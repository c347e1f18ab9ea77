"""One rank of the sharded runs that `test_parallel` judges: every plan in turn, every case in each of them.

`python -m tests.parallel.rank_process FOLDER RANK` reads `checkpoint` and `cases.pt` of the folder and writes what came
of each plan there.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore  # type: ignore[attr-defined]  # public, but not in its __all__

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.mesh import joined
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import TextKeyValues

PLANS = (
    Degrees(tp=2),
    Degrees(tp=4),
    Degrees(cfg=2),
    Degrees(ulysses=2),
    Degrees(ulysses=4),
    Degrees(cfg=2, ulysses=2),
    Degrees(tp=2, cfg=2),
    Degrees(tp=2, ulysses=2),
    # Neither heads nor columns nor tokens divide evenly.
    Degrees(tp=3),
    Degrees(ulysses=3),
)


WHOLE = ("video", "policy", "transfer", "adapters")
"""Cases that are also run with each rank computing all of them."""


def own(denoiser: Denoiser, request: EncodedRequest, spread: bool) -> EncodedRequest:
    """What a rank would have fetched: its heads, of its branches."""

    def fetched(text: TextKeyValues, negative: bool) -> TextKeyValues:
        values = text.values[:, :, denoiser.heads(spread)].clone()
        reads = denoiser.reads(request.sampling.guidance, negative=negative, spread=spread)
        return TextKeyValues(text.key, values if reads else values.to("meta"))

    unconditional = None if request.unconditional is None else fetched(request.unconditional, negative=True)
    return replace(request, conditional=fetched(request.conditional, negative=False), unconditional=unconditional)


def run(folder: Path, rank: int, plan: Degrees) -> dict[str, Any]:
    """All cases under one plan."""
    cases: dict[str, EncodedRequest] = torch.load(folder / "cases.pt", weights_only=False)
    store = FileStore(str(folder / f"store {plan}"), plan.world_size)
    settings = ExecutionSettings(device="cpu", dtype="float32")
    with joined(plan, rank, torch.device("cpu"), store, timedelta(minutes=2)) as mesh:
        adapters = {path.name: path for path in (folder / "adapters").iterdir()}
        denoiser = Denoiser.from_checkpoint(Checkpoint.find(str(folder / "checkpoint")), settings, mesh, adapters)
        denoiser.warm_up()
        latents = {}
        for name, spread in [*((name, True) for name in cases), *((name, False) for name in WHOLE)]:
            task = denoiser.start(own(denoiser, cases[name], spread), spread=spread)
            while not task.done:
                denoiser.step(task)
            label = name if spread else f"{name}, whole"
            latents[label] = {str(modality): x for modality, x in task.state.latents.items()}
        return {
            "latents": latents,
            "bytes_read": denoiser.report.bytes_read,
            "adapter_bytes": denoiser.report.adapter_bytes,
            "bytes_held": {name: p.nbytes for name, p in denoiser.tower.named_parameters()},
        }


def main(folder: Path, rank: int) -> None:
    """Run every plan that has a place for this rank."""
    torch.set_num_threads(1)
    for plan in PLANS:
        if rank < plan.world_size:
            torch.save(run(folder, rank, plan), folder / f"{plan} rank {rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
