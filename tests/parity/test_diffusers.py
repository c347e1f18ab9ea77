"""The pipeline equals diffusers' `Cosmos3OmniPipeline` on the same weights and noise."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch

from cosmos3_core import LocalPipeline
from cosmos3_core.sampling.denoise import DenoiseState
from tests.parity.cases import CASES, Case, cases_of
from tests.parity.compare import Pair, compare, denoise_ours, relative_error, run_ours, run_reference

TOLERANCE = 1e-5
FAST = ("t2i", "t2v with sound", "i2v", "policy, 10 wide")
BF16_SEEDS = range(2)
BF16_FACTOR = 1.2


@pytest.fixture(scope="module")
def nano_pair(nano: Path) -> Pair:
    return Pair.load(nano)


@pytest.fixture(scope="module")
def edge_pair(edge: Path) -> Pair:
    return Pair.load(edge)


def check(pair: Pair, case: Case, seed: int) -> None:
    errors = compare(run_ours(pair.ours, case, seed), run_reference(pair.reference, case, seed))
    assert errors.pop("grey levels") <= 1
    assert errors, "nothing was compared"
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("case", [c for c in cases_of("nano") if c.name in FAST], ids=lambda c: c.name)
def test_nano_equals_diffusers(nano_pair: Pair, case: Case) -> None:
    check(nano_pair, case, seed=1)


@pytest.mark.parametrize("case", [c for c in cases_of("edge") if c.name in FAST], ids=lambda c: c.name)
def test_edge_equals_diffusers(edge_pair: Pair, case: Case) -> None:
    check(edge_pair, case, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("nano"), ids=lambda c: c.name)
def test_every_mode_of_nano_equals_diffusers(nano_pair: Pair, case: Case) -> None:
    check(nano_pair, case, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("edge"), ids=lambda c: c.name)
def test_every_mode_of_edge_equals_diffusers(edge_pair: Pair, case: Case) -> None:
    check(edge_pair, case, seed=2)


@pytest.mark.slow
def test_unbatched_guidance_equals_diffusers(nano: Path, nano_pair: Pair) -> None:
    case = next(c for c in CASES if c.name == "t2v with sound")
    unbatched = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", batch_guidance=False)
    errors = compare(run_ours(unbatched, case, 3), run_reference(nano_pair.reference, case, 3))
    assert max(errors["vision"], errors["sound"]) <= TOLERANCE


@pytest.mark.parametrize("name", ["t2v with sound", "policy, 10 wide"])
def test_stepping_saving_and_resuming_changes_no_bit(nano: Path, nano_pair: Pair, name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    _, encoded = nano_pair.ours.encode(case.request(seed=4))
    undisturbed = nano_pair.ours.denoise(encoded)
    denoiser = nano_pair.ours.denoiser
    task = denoiser.start(encoded)
    for _ in range(3):
        denoiser.step(task)
    saved = task.state.to_bytes()
    elsewhere = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")
    resumed = elsewhere.denoise(encoded, state=DenoiseState.from_bytes(saved))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())


def bf16_ratios(family: str, root: Path) -> list[float]:
    """Our bf16 error against our fp32, over diffusers' against its own, for every mode, modality and seed."""
    exact, rounded = Pair.load(root), Pair.load(root, torch.bfloat16)
    ratios: list[float] = []
    for case in [c for c in cases_of(family) if c.schedule is None]:
        for seed in BF16_SEEDS:
            ours = [denoise_ours(pair.ours, case, seed).latents for pair in (rounded, exact)]
            theirs = [run_reference(p.reference, case, seed, decode=False).latents for p in (rounded, exact)]
            ratios += [
                relative_error(ours[0][name], ours[1][name]) / relative_error(theirs[0][name], theirs[1][name])
                for name in theirs[1]
            ]
    return ratios


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ["nano", "edge"])
def test_bf16_error_is_no_larger_than_diffusers_own(family: str, request: pytest.FixtureRequest) -> None:
    assert statistics.median(bf16_ratios(family, request.getfixturevalue(family))) <= BF16_FACTOR
