"""What only a GPU can show: bf16 against fp32, that the attention backends agree, NCCL, and that no step waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from cosmos3_core import LocalPipeline
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.generation import JointAttention
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.mesh import joined
from cosmos3_core.parallel.rendezvous import open_store
from cosmos3_core.parallel.tensor import SumOverRanks
from cosmos3_core.parallel.ulysses import TokenSplit, UlyssesAttention
from tests.parity.cases import CASES, Case
from tests.parity.compare import denoise_ours, relative_error

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(120)]
VIDEO = next(case for case in CASES if case.name == "t2v")


def latents(root: Path, case: Case, **settings: str) -> torch.Tensor:
    pipeline = LocalPipeline.from_pretrained(root, **settings)  # type: ignore[arg-type]
    return denoise_ours(pipeline, case, seed=1).latents["vision"].cpu()


def test_a_gpu_in_fp32_equals_the_cpu(nano: Path) -> None:
    cpu = latents(nano, VIDEO, device="cpu", dtype="float32")
    assert relative_error(latents(nano, VIDEO, device="cuda", dtype="float32"), cpu) < 1e-3


def test_bf16_stays_near_fp32(nano: Path) -> None:
    exact = latents(nano, VIDEO, device="cuda", dtype="float32")
    assert relative_error(latents(nano, VIDEO, device="cuda", dtype="bfloat16"), exact) < 0.1


@pytest.mark.parametrize("backend", [b for b in AttentionBackend if b is not AttentionBackend.MATH])
def test_backends_agree(nano: Path, backend: AttentionBackend) -> None:
    math = latents(nano, VIDEO, device="cuda", dtype="bfloat16", attention="math")
    assert relative_error(latents(nano, VIDEO, device="cuda", dtype="bfloat16", attention=backend.value), math) < 0.1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_mode_runs_in_bf16(nano: Path, case: Case) -> None:
    pipeline = LocalPipeline.from_pretrained(nano, device="cuda", dtype="bfloat16")
    result = pipeline.generate(case.request(seed=1))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in result.latents.values())


def test_one_rank_talks_to_itself_over_nccl() -> None:
    # The device mesh warns that it has to guess the device unless CUDA is initialised.
    torch.cuda.init()
    device = torch.device("cuda", 0)
    store, _ = open_store("127.0.0.1", 1)
    with joined(Degrees(), 0, device, store, timedelta(minutes=1)) as mesh:
        query, key, value = (torch.randn(heads, 33, 64, device=device, dtype=torch.bfloat16) for heads in (8, 2, 2))
        text = torch.randn(2, 2, 7, 64, device=device, dtype=torch.bfloat16)
        alone, tokens = JointAttention(AttentionBackend.AUTO), TokenSplit(mesh)
        tokens.lengths = [33]
        exchanged = UlyssesAttention(alone, mesh, tokens)(query, key, value, text)
        assert torch.equal(exchanged, alone(query, key, value, text))
        hidden = torch.randn(2, 33, 64, device=device)
        assert torch.equal(tokens.gather(alone, (hidden, None, ()), hidden), hidden)  # type: ignore[arg-type]
        assert torch.equal(SumOverRanks(mesh.group("tp"))(alone, (), hidden.clone()), hidden)


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """In the block, anything that waits for the device raises. The mode is always restored for the tests after it."""
    try:
        torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


# torch warns that this mode is a prototype; torch 2.11 also warns about the profiler's cycles where there are none.
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.filterwarnings("ignore:.*Profiler clears events at the end of each cycle:UserWarning")
@pytest.mark.parametrize("name", ["t2v", "t2v with sound", "policy, 10 wide"])
def test_a_step_waits_for_the_device_once_at_its_end(nano: Path, name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    pipeline = LocalPipeline.from_pretrained(nano, device="cuda", dtype="bfloat16")
    _, encoded = pipeline.encode(case.request(seed=1))
    task = pipeline.denoiser.start(encoded)
    for _ in range(3):
        pipeline.denoiser.step(task)
    with waiting_is_an_error(), profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        pipeline.denoiser.step(task)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts.get("cudaStreamSynchronize", 0) == 0, counts
    assert counts.get("Memcpy DtoH (Device -> Pageable)", 0) == 0
