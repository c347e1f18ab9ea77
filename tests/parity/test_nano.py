"""Nano's pipeline equals diffusers, and what is composed around it, on the same weights and noise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosmos3_core import LocalPipeline
from cosmos3_core.sampling.denoise import DenoiseState
from tests.parity.cases import CASES, Case
from tests.parity.compare import Pair, compare, relative_error, run_ours
from tests.parity.runs import BF16_FACTOR, FAST, SEED, SWEPT_SEED, TOLERANCE, Runs, bf16_ratio, check
from tests.parity.suite import cases_of


@pytest.fixture(scope="module")
def runs(nano: Path) -> Runs:
    return Runs(nano)


@pytest.mark.parametrize("case", [c for c in cases_of("nano") if c.name in FAST], ids=lambda c: c.name)
def test_it_equals_diffusers(runs: Runs, case: Case) -> None:
    check(runs, case, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("nano"), ids=lambda c: c.name)
def test_every_mode_equals_diffusers(runs: Runs, case: Case) -> None:
    check(runs, case, SWEPT_SEED)


@pytest.mark.slow
def test_unbatched_guidance_equals_diffusers(nano: Path, runs: Runs) -> None:
    case = next(c for c in CASES if c.name == "t2v with sound")
    unbatched = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", batch_guidance=False)
    _, reference = runs.of(case, SWEPT_SEED)
    errors = compare(run_ours(unbatched, case, SWEPT_SEED), reference)
    assert max(errors["vision"], errors["sound"]) <= TOLERANCE


@pytest.mark.parametrize("name", ["t2v with sound", "policy, 10 wide"])
def test_stepping_saving_and_resuming_changes_no_bit(nano: Path, runs: Runs, name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    pipeline = runs.pair.ours
    _, encoded = pipeline.encode(case.request(seed=4))
    undisturbed = pipeline.denoise(encoded)
    denoiser = pipeline.denoiser
    task = denoiser.start(encoded)
    for _ in range(3):
        denoiser.step(task)
    saved = task.state.to_bytes()
    elsewhere = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")
    resumed = elsewhere.denoise(encoded, state=DenoiseState.from_bytes(saved))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())


@pytest.mark.slow
@torch.no_grad()
def test_the_bf16_codec_errs_no_more_than_diffusers_own(nano: Path, runs: Runs) -> None:
    clip = torch.rand(1, 3, 5, 48, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    pairs = runs.pair, Pair.load(nano, torch.bfloat16)
    exact_ours, rounded_ours = (pair.ours.encoder.video_encoder.encode(clip) for pair in pairs)
    exact_theirs, rounded_theirs = (pair.reference._encode_video(clip)[0] for pair in pairs)
    error = relative_error(rounded_ours, exact_ours)
    assert 0 < error <= BF16_FACTOR * relative_error(rounded_theirs, exact_theirs)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bf16_error_is_no_larger_than_diffusers_own(runs: Runs) -> None:
    assert bf16_ratio(runs, CASES) <= BF16_FACTOR
