"""Edge's pipeline equals diffusers, and what is composed around it, on the same weights and noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos3_core.embodiments import EMBODIMENTS
from tests.parity.cases import CASES, Case
from tests.parity.runs import BF16_FACTOR, FAST, SEED, SWEPT_SEED, Runs, bf16_ratio, check
from tests.parity.suite import cases_of


@pytest.fixture(scope="module")
def runs(edge: Path) -> Runs:
    return Runs(edge)


@pytest.mark.parametrize("case", [c for c in cases_of("edge") if c.name in FAST], ids=lambda c: c.name)
def test_it_equals_diffusers(runs: Runs, case: Case) -> None:
    check(runs, case, SEED)


def test_every_embodiment_is_compared() -> None:
    assert {case.domain for case in cases_of("edge") if case.is_action} == set(EMBODIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("edge"), ids=lambda c: c.name)
def test_every_mode_equals_diffusers(runs: Runs, case: Case) -> None:
    check(runs, case, SWEPT_SEED)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bf16_error_is_no_larger_than_diffusers_own(runs: Runs) -> None:
    assert bf16_ratio(runs, [case for case in CASES if not case.needs_sound]) <= BF16_FACTOR
