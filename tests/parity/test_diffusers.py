"""The pipeline equals diffusers, and what is composed around it, on the same weights and noise."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch

from cosmos3_core import LocalPipeline
from cosmos3_core.embodiments import EMBODIMENTS
from cosmos3_core.sampling.denoise import DenoiseState
from tests.parity.cases import CASES, Case
from tests.parity.compare import Pair, compare, denoise_ours, relative_error, run_ours
from tests.parity.oracles.pipeline import run_pipeline
from tests.parity.outcome import Outcome
from tests.parity.suite import cases_of

TOLERANCE = 1e-5
FAST = (
    "t2i",
    "t2v with sound",
    "i2v",
    "policy, 10 wide",
    "transfer, two weighted controls",
    "4 steps, i2v",
    "image edit",
)
SEED, SWEPT_SEED = 1, 2
BF16_SEEDS = (SWEPT_SEED, 3)
BF16_FACTOR = 1.2


class Runs:
    """Both implementations on one checkpoint in fp32, and what they made of cases so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pair = Pair.load(root)
        self._made: dict[tuple[str, int], tuple[Outcome, Outcome]] = {}

    def of(self, case: Case, seed: int) -> tuple[Outcome, Outcome]:
        """Our outcome and the reference's, which are made once."""
        key = case.name, seed
        if key not in self._made:
            self._made[key] = self.pair.run(case, seed)
        return self._made[key]

    def latents(self, case: Case, seed: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Our latents and the reference's, without decoding what is not made yet."""
        if (case.name, seed) in self._made:
            ours, theirs = self._made[case.name, seed]
        else:
            ours = denoise_ours(self.pair.ours, case, seed)
            theirs = run_pipeline(self.pair.reference, case, seed, decode=False)
        return ours.latents, theirs.latents


@pytest.fixture(scope="module")
def runs(nano: Path, edge: Path) -> dict[str, Runs]:
    return {"nano": Runs(nano), "edge": Runs(edge)}


def check(runs: Runs, case: Case, seed: int) -> None:
    errors = compare(*runs.of(case, seed))
    assert errors.pop("grey levels") <= 1
    assert errors, "nothing was compared"
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("case", [c for c in cases_of("nano") if c.name in FAST], ids=lambda c: c.name)
def test_nano_equals_diffusers(runs: dict[str, Runs], case: Case) -> None:
    check(runs["nano"], case, SEED)


@pytest.mark.parametrize("case", [c for c in cases_of("edge") if c.name in FAST], ids=lambda c: c.name)
def test_edge_equals_diffusers(runs: dict[str, Runs], case: Case) -> None:
    check(runs["edge"], case, SEED)


def test_every_embodiment_is_compared() -> None:
    assert {case.domain for case in cases_of("edge") if case.is_action} == set(EMBODIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("nano"), ids=lambda c: c.name)
def test_every_mode_of_nano_equals_diffusers(runs: dict[str, Runs], case: Case) -> None:
    check(runs["nano"], case, SWEPT_SEED)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("edge"), ids=lambda c: c.name)
def test_every_mode_of_edge_equals_diffusers(runs: dict[str, Runs], case: Case) -> None:
    check(runs["edge"], case, SWEPT_SEED)


@pytest.mark.slow
def test_unbatched_guidance_equals_diffusers(nano: Path, runs: dict[str, Runs]) -> None:
    case = next(c for c in CASES if c.name == "t2v with sound")
    unbatched = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", batch_guidance=False)
    _, reference = runs["nano"].of(case, SWEPT_SEED)
    errors = compare(run_ours(unbatched, case, SWEPT_SEED), reference)
    assert max(errors["vision"], errors["sound"]) <= TOLERANCE


@pytest.mark.parametrize("name", ["t2v with sound", "policy, 10 wide"])
def test_stepping_saving_and_resuming_changes_no_bit(nano: Path, runs: dict[str, Runs], name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    pipeline = runs["nano"].pair.ours
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


def bf16_pair(root: Path) -> Pair:
    """Both in bf16 but for their video codecs: without AVX-512 a bf16 convolution takes twenty times as long."""
    pair = Pair.load(root, torch.bfloat16)
    pair.ours.encoder.video_encoder.vae.float()
    pair.reference.vae.float()
    return pair


def bf16_ratios(family: str, exact: Runs) -> list[float]:
    """Our bf16 error against our fp32, over diffusers' against its own, for every mode, modality and seed."""
    rounded = bf16_pair(exact.root)
    ratios: list[float] = []
    for case in [c for c in CASES if family == "nano" or not c.needs_sound]:
        for seed in BF16_SEEDS:
            ours, theirs = exact.latents(case, seed)
            rounded_ours = denoise_ours(rounded.ours, case, seed).latents
            rounded_theirs = run_pipeline(rounded.reference, case, seed, decode=False).latents
            ratios += [
                relative_error(rounded_ours[name], ours[name]) / relative_error(rounded_theirs[name], theirs[name])
                for name in theirs
            ]
    return ratios


@pytest.mark.slow
def test_the_bf16_codec_errs_no_more_than_diffusers_own(nano: Path, runs: dict[str, Runs]) -> None:
    clip = torch.rand(1, 3, 5, 48, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    exact, rounded = runs["nano"].pair, Pair.load(nano, torch.bfloat16)
    ours, theirs = (
        relative_error(*(encode(pair) for pair in (rounded, exact)))
        for encode in (
            lambda pair: pair.ours.encoder.video_encoder.encode(clip),
            lambda pair: pair.reference._encode_video(clip)[0],
        )
    )
    assert 0 < ours <= BF16_FACTOR * theirs


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ["nano", "edge"])
def test_bf16_error_is_no_larger_than_diffusers_own(family: str, runs: dict[str, Runs]) -> None:
    assert statistics.median(bf16_ratios(family, runs[family])) <= BF16_FACTOR
