"""Runs the recorded requests with kernels that compute alike on every x86-64 processor, and prints their records.

`python -m tests.golden.run FOLDER` makes its checkpoints in FOLDER and writes `records.json` there: for every request
its manifest, and the hash of its latents when cfg 2 x ulysses 2 ranks share it. The records that the test compares with
are of the commit that `test_golden` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore  # type: ignore[attr-defined]  # public, but not in its __all__

from cosmos3_core import Checkpoint, ExecutionSettings, GenerationRequest, LocalPipeline
from cosmos3_core.model.sequence import Latents, sha256_of
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.mesh import joined
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.tiny.checkpoint import write_checkpoint
from tests.golden.requests import DISTILLED, DISTILLED_LEVELS, FAMILIES, REQUESTS, fields_of, names_of
from tests.parallel.rank_process import own

PLAN = Degrees(cfg=2, ulysses=2)
TIMEOUT = timedelta(minutes=5)
PINNED = {
    "OMP_NUM_THREADS": "1",
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "GLOO_SOCKET_IFNAME": "lo",
    "HF_HUB_OFFLINE": "1",
}
"""Environment in which the same request has the same bits on every x86-64 processor."""


def fingerprint() -> str:
    """Hash of a few products, sums and functions: where it differs, the kernels do, and so may every bit."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(61, 67, generator=generator) for _ in range(2))
    clip = torch.randn(1, 4, 3, 9, 9, generator=generator)
    kernel = torch.randn(4, 4, 3, 3, 3, generator=generator)
    heads = torch.randn(1, 2, 33, 32, generator=generator)
    values = (
        a @ b.T,
        torch.softmax(a, dim=-1),
        torch.nn.functional.silu(b),
        torch.cos(a * 40),
        torch.nn.functional.conv3d(clip, kernel),
        torch.nn.functional.scaled_dot_product_attention(heads, heads, heads),
        torch.nn.functional.interpolate(clip[0], size=(5, 7), mode="bilinear", antialias=True),
    )
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in values)).hexdigest()


def summary(latents: Latents) -> dict[str, list[float]]:
    """A few numbers of each modality's latents, for machines whose kernels differ."""
    flat = {name.value: x.double().flatten() for name, x in latents.items()}
    return {name: [float(x.mean()), float(x.std()), *map(float, x[:: max(1, len(x) // 6)])] for name, x in flat.items()}


def record(pipeline: LocalPipeline, fields: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a request without times and places, and a summary of its latents."""
    result = pipeline.generate(GenerationRequest(**fields))
    manifest = result.manifest.model_dump(mode="json")
    for name in ("created_at", "stage_seconds", "versions"):
        del manifest[name]
    return {"manifest": manifest, "summary": summary(result.latents)}


def distilled(checkpoint: Path, levels: list[float]) -> Path:
    """The same weights with the scheduler of a distilled checkpoint of some noise levels (spec 5.6)."""
    variant = checkpoint.with_name(f"{checkpoint.name}-distilled")
    variant.mkdir()
    for entry in checkpoint.iterdir():
        if entry.name != "scheduler":
            (variant / entry.name).symlink_to(entry)
    (variant / "scheduler").mkdir()
    source = checkpoint / "scheduler" / "scheduler_config.json"
    sampler = {"fixed_step_sampler_config": {"t_list": levels, "sample_type": "sde"}}
    config = json.loads(source.read_text(encoding="utf-8")) | sampler
    (variant / "scheduler" / source.name).write_text(json.dumps(config), encoding="utf-8")
    return variant


def run_rank(folder: Path, rank: int) -> None:
    """All requests of a checkpoint on one of the ranks; rank 0 writes the hashes."""
    torch.set_num_threads(1)
    encoded: dict[str, EncodedRequest] = torch.load(folder / "encoded.pt", weights_only=False)
    settings = ExecutionSettings(device="cpu", dtype="float32")
    store = FileStore(str(folder / "store"), PLAN.world_size)
    with joined(PLAN, rank, torch.device("cpu"), store, TIMEOUT) as mesh:
        denoiser = Denoiser.from_checkpoint(Checkpoint.find(folder / "checkpoint"), settings, mesh)
        found = {}
        for name, request in encoded.items():
            task = denoiser.start(own(denoiser, request, spread=True))
            while not task.done:
                denoiser.step(task)
            found[name] = {"latents_sha256": sha256_of(task.state.latents), "summary": summary(task.state.latents)}
    if rank == 0:
        (folder / "sharded.json").write_text(json.dumps(found), encoding="utf-8")


def sharded(folder: Path, checkpoint: Path, encoded: dict[str, EncodedRequest]) -> dict[str, Any]:
    """Hashes of requests that the ranks of `PLAN` share."""
    folder.mkdir()
    (folder / "checkpoint").symlink_to(checkpoint)
    torch.save(encoded, folder / "encoded.pt")
    command = [sys.executable, "-m", "tests.golden.run", str(folder)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(PLAN.world_size)]
    try:
        statuses = [process.wait(timeout=TIMEOUT.total_seconds()) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(statuses), statuses
    shared: dict[str, Any] = json.loads((folder / "sharded.json").read_text(encoding="utf-8"))
    return shared


def run_family(folder: Path, family: Any) -> dict[str, Any]:
    """Records of a family: alone, on ranks, and of its distilled variant."""
    checkpoint = write_checkpoint(folder / family, family)
    pipeline = LocalPipeline.from_pretrained(checkpoint, device="cpu", dtype="float32")
    fields = {name: fields_of(REQUESTS, name) for name in names_of(family) if family == "nano" or "karras" not in name}
    records = {name: record(pipeline, one) for name, one in fields.items()}
    encoded = {name: pipeline.encode(GenerationRequest(**one))[1] for name, one in fields.items()}
    shared = sharded(folder / f"{family}-ranks", checkpoint, encoded)
    variant = LocalPipeline.from_pretrained(distilled(checkpoint, DISTILLED_LEVELS), device="cpu", dtype="float32")
    fixed = {f"distilled {name}": record(variant, fields_of(DISTILLED, name)) for name in DISTILLED}
    return {"alone": records | fixed, "sharded": shared}


def main(folder: Path) -> None:
    """Write the records of all families."""
    torch.set_num_threads(1)
    families = {family: run_family(folder, family) for family in FAMILIES}
    records = {"fingerprint": fingerprint(), **families}
    (folder / "records.json").write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    assert all(os.environ.get(name) == value for name, value in PINNED.items()), "run it in the environment `PINNED`"
    if len(sys.argv) > 2:
        run_rank(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
