"""Runs of both implementations on one checkpoint that the tests of a family share, and what must hold for each."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import torch

from tests.parity.cases import Case
from tests.parity.compare import Pair, compare, denoise_ours, relative_error
from tests.parity.oracles.pipeline import run_pipeline
from tests.parity.outcome import Outcome
from tests.parity.suite import SMALL, SMALL_SOURCE

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


def check(runs: Runs, case: Case, seed: int) -> None:
    """Latents within the tolerance of the reference's, frames within a grey level."""
    errors = compare(*runs.of(case, seed))
    assert errors.pop("grey levels") <= 1
    assert errors, "nothing was compared"
    assert max(errors.values()) <= TOLERANCE, errors


def bf16_pair(root: Path) -> Pair:
    """Both in bf16 but for their video codecs: without AVX-512 a bf16 convolution takes twenty times as long."""
    pair = Pair.load(root, torch.bfloat16)
    pair.ours.encoder.video_encoder.vae.float()
    pair.reference.vae.float()
    return pair


def small(case: Case) -> Case:
    """The case on fewer tokens: without AVX-512 a bf16 product takes twenty times as long."""
    return replace(case, name=f"small {case.name}", chunk=4, size=dict(SMALL), source=SMALL_SOURCE)


def bf16_ratio(exact: Runs, cases: list[Case]) -> float:
    """Our bf16 error against our fp32, over diffusers' against its own: the median of cases, modalities and seeds."""
    rounded = bf16_pair(exact.root)
    ratios: list[float] = []
    for case in map(small, cases):
        for seed in BF16_SEEDS:
            ours, theirs = exact.latents(case, seed)
            rounded_ours = denoise_ours(rounded.ours, case, seed).latents
            rounded_theirs = run_pipeline(rounded.reference, case, seed, decode=False).latents
            ratios += [
                relative_error(rounded_ours[name], ours[name]) / relative_error(rounded_theirs[name], theirs[name])
                for name in theirs
            ]
    return statistics.median(ratios)
