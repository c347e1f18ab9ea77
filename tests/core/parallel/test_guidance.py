"""Which ranks compute which guidance branch."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.guidance import BranchOwners
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.sampling.guidance import Branch, Guidance
from cosmos3_core.stages.denoiser import Denoiser

TWO, THREE = Guidance(3.0), Guidance(3.0, control_scale=1.5)
CONTROLS = Guidance(1.0, control_scale=1.5)


def denoiser_of(degrees: Degrees, rank: int) -> Denoiser:
    """A rank's place, which is all that these questions need."""
    nothing: Any = None
    return Denoiser(nothing, nothing, nothing, Mesh(degrees, rank))


@pytest.mark.parametrize("degrees", [Degrees(cfg=2), Degrees(cfg=2, ulysses=2), Degrees(tp=2, cfg=2)], ids=str)
def test_branches_go_round_the_ranks(degrees: Degrees) -> None:
    for rank in range(degrees.world_size):
        mesh = Mesh(degrees, rank)
        owned = [BranchOwners(mesh).owns(index) for index in range(3)]
        assert owned == [index % 2 == mesh.coordinates.cfg for index in range(3)]


@pytest.mark.parametrize(
    ("guidance", "first", "second"),
    [
        (TWO, {Branch.CONDITIONAL}, {Branch.UNCONDITIONAL}),
        (THREE, {Branch.CONDITIONAL, Branch.UNCONTROLLED}, {Branch.UNCONDITIONAL}),
        (CONTROLS, {Branch.CONDITIONAL}, {Branch.UNCONTROLLED}),
    ],
)
def test_two_ranks_share_the_branches_that_there_are(
    guidance: Guidance, first: set[Branch], second: set[Branch]
) -> None:
    for rank, expected in enumerate((first, second)):
        denoiser = denoiser_of(Degrees(cfg=2), rank)
        assert {branch for branch in guidance.branches if denoiser.computes(branch, guidance)} == expected
        assert denoiser.reads(guidance, negative=True) == (Branch.UNCONDITIONAL in expected)
        assert denoiser.reads(guidance, negative=False) == bool(expected - {Branch.UNCONDITIONAL})
        # A task that is not spread is computed whole by every rank.
        assert all(denoiser.computes(branch, guidance, spread=False) for branch in guidance.branches)
