"""Published seconds are found by checkpoint, card, workload and number of cards."""

from __future__ import annotations

from cosmos3_core.planning.published import WORKLOADS, published_seconds


def test_a_workload_has_its_published_seconds() -> None:
    assert published_seconds("nvidia/Cosmos3-Nano", "b200-180gb", WORKLOADS[3], 8) == 22.87


def test_nothing_is_returned_where_nothing_was_published() -> None:
    assert published_seconds("nvidia/Cosmos3-Super", "h100-80gb", WORKLOADS[0], 1) is None
    assert published_seconds("nvidia/Cosmos3-Nano", "h100-80gb", WORKLOADS[0], 2) is None
