"""Kinds of hardware by the names that CUDA gives to cards."""

from __future__ import annotations

import pytest

from cosmos3_core.planning.hardware import recognise


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200-141gb"),
        ("NVIDIA H200 NVL", "h200-nvl"),
        ("NVIDIA H20", "h20-96gb"),
        ("NVIDIA B200", "b200-180gb"),
        ("NVIDIA GB300", "b300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("NVIDIA GeForce RTX 4090", "h100-80gb"),
        (None, "cpu"),
    ],
)
def test_a_device_is_recognised(device: str | None, name: str) -> None:
    assert recognise(device).name == name
