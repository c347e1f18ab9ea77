"""What the Decoder makes of latents beside frames."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cosmos3_core.action_statistics import ActionStatistics, Normalisation
from cosmos3_core.errors import NotFinite
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from deployments.decoder import _action
from deployments.wire.calls import DecodeCall
from deployments.wire.messages import ClipDescription, LatentsMessage
from tests.manifests import denoise_facts

LATENTS = LatentsMessage(None, {}, 0, 2, 0, 0, denoise_facts())


def call(width: int, **fields: Any) -> DecodeCall:
    clip = ClipDescription("policy", 64, 64, 5, 10.0, None, 48_000, width, 1, **fields)
    return DecodeCall("job", LATENTS, clip, "file:///x.mp4", "mp4")


def latents(column: int, value: float) -> Latents:
    rows = torch.zeros(4, 64)
    rows[1, column] = value
    return {Modality.ACTION: rows}


def test_actions_are_as_wide_as_the_embodiment() -> None:
    # What lies beyond its width means nothing.
    action = _action(latents(9, float("nan")), call(9))
    assert action is not None and action["shape"] == [4, 9]
    assert _action({}, call(0)) is None


def test_rows_of_the_state_are_no_actions() -> None:
    action = _action(latents(0, 7.0), call(2, state_rows=1))
    assert action is not None and action["data"] == [[7.0, 0.0], [0.0, 0.0], [0.0, 0.0]] and action["shape"] == [3, 2]


def test_actions_are_also_given_in_physical_units() -> None:
    statistics = ActionStatistics(Normalisation.MINMAX, offset=(1.0, 2.0), scale=(0.5, 10.0))
    action = _action(latents(0, 3.0), call(2, state_rows=1, action_statistics=statistics))
    assert action is not None and action["data"] == [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert action["physical"] == {
        "data": [[2.5, 2.0], [1.0, 2.0], [1.0, 2.0]],
        "units": "dataset",
        "method": "minmax",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_actions_that_are_no_numbers_fail_their_job(value: float) -> None:
    with pytest.raises(NotFinite, match="no finite numbers"):
        _action(latents(8, value), call(9))
