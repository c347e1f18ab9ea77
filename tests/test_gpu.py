"""What only a GPU can show: bf16 against fp32, and that the attention backends agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosmos3_core import LocalPipeline
from cosmos3_core.model.attention import AttentionBackend
from tests.parity.cases import CASES, Case
from tests.parity.compare import denoise_ours, relative_error

pytestmark = pytest.mark.gpu
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
