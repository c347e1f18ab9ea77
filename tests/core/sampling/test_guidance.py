"""When guidance applies, and what it computes (spec 5.7)."""

from __future__ import annotations

import pytest
import torch

from cosmos3_core.model.layout import Modality
from cosmos3_core.sampling.guidance import Branch, Guidance, combine

ALONE = (Branch.CONDITIONAL,)
BOTH = (Branch.CONDITIONAL, Branch.UNCONDITIONAL)
THREE = (Branch.CONDITIONAL, Branch.UNCONDITIONAL, Branch.UNCONTROLLED)


@pytest.mark.parametrize(
    ("timestep", "inclusive", "exclusive"),
    [(399.0, False, False), (400.0, True, False), (401.0, True, True), (1000.0, True, False)],
)
def test_the_ends_of_an_interval(timestep: float, inclusive: bool, exclusive: bool) -> None:
    assert Guidance(7.0, (400.0, 1000.0), inclusive=True).active(timestep) == (BOTH if inclusive else ALONE)
    assert Guidance(7.0, (400.0, 1000.0), inclusive=False).active(timestep) == (BOTH if exclusive else ALONE)


def test_without_an_interval_guidance_is_always_active() -> None:
    assert all(Guidance(7.0).active(timestep) == BOTH for timestep in (0.0, 500.0, 1000.0))


@pytest.mark.parametrize(
    ("scale", "above_one", "enabled"),
    [
        (1.0, False, False),
        (1.0, True, False),
        (0.5, False, True),
        (0.5, True, False),
        (1.5, True, True),
        (0.0, False, True),
    ],
)
def test_a_scale_of_one_needs_no_second_branch(scale: float, above_one: bool, enabled: bool) -> None:
    guidance = Guidance(scale, (0.0, 1000.0), only_above_one=above_one)
    assert guidance.enabled is enabled
    assert guidance.active(500.0) == (BOTH if enabled else ALONE)


def test_combining_moves_every_modality_away_from_the_unconditional() -> None:
    conditional = {Modality.VISION: torch.tensor([3.0]), Modality.SOUND: torch.tensor([1.0, 2.0])}
    unconditional = {Modality.VISION: torch.tensor([1.0]), Modality.SOUND: torch.tensor([1.0, 4.0])}
    branches = {Branch.CONDITIONAL: conditional, Branch.UNCONDITIONAL: unconditional}
    combined = combine(branches, Guidance(6.0))
    assert combined[Modality.VISION].tolist() == [1 + 6 * 2]
    assert combined[Modality.SOUND].tolist() == [1, 4 - 6 * 2]
    for scale, branch in ((0.0, unconditional), (1.0, conditional)):
        assert {name: x.tolist() for name, x in combine(branches, Guidance(scale)).items()} == {
            name: x.tolist() for name, x in branch.items()
        }


def test_controls_guide_by_a_third_branch_within_their_own_interval() -> None:
    guidance = Guidance(3.0, control_scale=1.5, control_interval=(500.0, 1000.0))
    assert guidance.branches == THREE
    assert guidance.active(499.0) == BOTH and guidance.active(500.0) == THREE
    assert Guidance(1.0, control_scale=1.5).branches == (Branch.CONDITIONAL, Branch.UNCONTROLLED)


def test_controls_guide_before_the_text_does() -> None:
    full, negative, without = ({Modality.VISION: torch.tensor([x])} for x in (5.0, 1.0, 3.0))
    branches = {Branch.CONDITIONAL: full, Branch.UNCONDITIONAL: negative, Branch.UNCONTROLLED: without}
    combined = combine(branches, Guidance(2.0, control_scale=1.5))
    assert combined[Modality.VISION].tolist() == [1 + 2 * ((3 + 1.5 * 2) - 1)]
