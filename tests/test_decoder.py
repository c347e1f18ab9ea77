"""What the Decoder makes of latents beside frames."""

from __future__ import annotations

import pytest
import torch

from cosmos3_core.errors import NotFinite
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from deployments.decoder import _action
from deployments.wire.calls import DecodeCall
from deployments.wire.messages import ClipDescription, LatentsMessage
from tests.manifests import denoise_facts

LATENTS = LatentsMessage(None, {}, 0, 2, 0, 0, denoise_facts())


def call(width: int) -> DecodeCall:
    clip = ClipDescription("policy", 64, 64, 5, 10.0, None, 48_000, width, 1)
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_actions_that_are_no_numbers_fail_their_job(value: float) -> None:
    with pytest.raises(NotFinite, match="no finite numbers"):
        _action(latents(8, value), call(9))
